"""A Parquet manifest says what JSON lines say, faults and all; bytes in it are read a few at a time."""

import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import memes_on_disk as disk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memes_on_disk import folder_with_images, numbered

from extract import dataset, parquet
from extract.errors import Failed, Refused
from extract.places import digest, size

pytest_plugins = ["elsewhere"]

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

IMAGES = ["img/0.png", "/img/1.png", "img/none.png", "../out.png", ""]
row = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["1", "01", "", "é😀", "2", "3"]) | st.text(st.characters(codec="utf-8"), max_size=3),
        "img": st.sampled_from(IMAGES),
        "text": st.text(st.characters(codec="utf-8"), max_size=5),
        "label": st.integers(-1, 2),
    },
)


def write_parquet(folder, rows, split="train", image="img", kind=None, **how):
    columns = {
        "id": pa.array([each.get("id") for each in rows], pa.string()),
        image: pa.array([each.get("img") for each in rows], kind or pa.string()),
        "text": pa.array([each.get("text") for each in rows], pa.string()),
        "label": pa.array([each.get("label") for each in rows], pa.int64()),
    }
    pq.write_table(pa.table(columns), folder / f"{split}.parquet", **how)


def told(split):
    """Everything but where images lie and what the manifest is called."""
    memes = [(meme.id, meme.text, meme.label, digest(meme.image)) for meme in split.memes]
    return memes, [(fault.line, fault.id, fault.reason) for fault in split.faults]


@settings(max_examples=40, deadline=None)
@given(st.lists(row, min_size=1, max_size=8), st.integers(1, 5))
def test_both_kinds_of_manifest_agree_on_memes_and_on_every_fault(tmp_path_factory, rows, group):
    lines, table = (folder_with_images(tmp_path_factory.mktemp("kind")) for _ in range(2))
    disk.rows(lines, "train", *rows)
    write_parquet(table, rows, row_group_size=group)
    assert told(dataset.read_split(table, "train")) == told(dataset.read_split(lines, "train"))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 60), st.booleans())
def test_bytes_in_the_file_are_each_row_s_own_in_any_order(tmp_path_factory, data, count, group, nested):
    folder = tmp_path_factory.mktemp("inline")
    images = [b"image " * (number % 3) + str(number).encode() for number in range(count)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if nested else pa.binary()
    cells = [{"bytes": image, "path": "x.png"} for image in images] if nested else images
    write_parquet(folder, numbered({"img": cell} for cell in cells), image="image", kind=kind, row_group_size=group)
    memes = dataset.read_split(folder, "train").memes
    order = data.draw(st.permutations(range(count)))
    with ThreadPoolExecutor(3) as pool:
        read = list(pool.map(lambda number: memes[number].image.read_bytes(), order))
    assert read == [images[number] for number in order]
    assert [size(meme.image) for meme in memes] == [len(image) for image in images]


def test_in_order_a_column_is_read_once_and_little_of_it_is_held(tmp_path):
    write_parquet(tmp_path, numbered({"img": b"x" * 1000} for _ in range(500)), kind=pa.binary())
    column = parquet.Column(tmp_path / "train.parquet", "img")
    steps = []
    advance = column._advance
    column._advance = lambda row: (steps.append(row), advance(row))
    for number in range(500):
        column.read(number)
        assert sum(len(cells) for _, cells in column.kept) <= parquet.KEPT * parquet.CELLS
    assert len(steps) == -(-500 // parquet.CELLS)


def test_an_absent_image_is_a_fault_whether_or_not_statistics_tell(tmp_path):
    for told_by in (True, False):
        rows = numbered([{"img": b"one"}, {"img": None}, {"img": b""}])
        write_parquet(tmp_path, rows, kind=pa.binary(), write_statistics=told_by, row_group_size=2)
        split = dataset.read_split(tmp_path, "train")
        assert [str(fault) for fault in split.faults] == ["train.parquet:2  1  no img"]
        assert [meme.image.read_bytes() for meme in split.memes] == [b"one", b""]


def test_faults_are_all_told_at_once_by_row(tmp_path):
    changes = [{}, {"label": 7}, {"id": "0", "label": 1}, {"text": None}]
    rows = numbered({"img": b"x", **change} for change in changes)
    write_parquet(tmp_path, rows, kind=pa.binary())
    with pytest.raises(Refused) as refused:
        dataset.refuse_faults([dataset.read_split(tmp_path, "train")])
    assert str(refused.value).splitlines()[:5] == [
        "4 of 4 rows cannot be used; nothing was encoded.",
        "  train.parquet:1  0  id also on line 3, with different labels",
        "  train.parquet:2  1  label is 7, expected 0 or 1 (no label at all if it is unknown)",
        "  train.parquet:3  0  id also on line 1, with different labels",
        "  train.parquet:4  3  no text",
    ]


def test_text_that_is_no_utf8_is_named_by_row(tmp_path):
    bad = pa.array([b"good", b"bad \xff"], pa.binary()).view(pa.string())
    table = {"id": ["1", "2"], "text": bad, "img": pa.array([b"x", b"x"])}
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    assert [str(fault) for fault in dataset.read_split(tmp_path, "train").faults] == [
        "train.parquet:2  ?  not UTF-8: invalid start byte at byte 4"
    ]


def test_a_folder_of_files_is_one_manifest(tmp_path):
    for number in range(3):
        (tmp_path / "train.parquet").mkdir(exist_ok=True)
        rows = [{"id": f"{number}{place}", "text": "", "img": f"{number}{place}".encode()} for place in range(4)]
        write_parquet(tmp_path / "train.parquet", rows, split=f"part-{number}", kind=pa.binary())
    (tmp_path / "train.parquet/_SUCCESS").touch()
    split = dataset.read_split(tmp_path, "train")
    assert [meme.image.read_bytes().decode() for meme in split.memes] == [meme.id for meme in split.memes]
    assert [meme.id for meme in split.memes][4:6] == ["10", "11"]
    assert str(split.memes[5].image) == f"{tmp_path}/train.parquet/part-1.parquet:2"


def test_two_manifests_of_a_split_are_refused(tmp_path):
    folder_with_images(tmp_path)
    disk.rows(tmp_path, "train", *numbered([{"img": "img/0.png"}]))
    write_parquet(tmp_path, numbered([{"img": "img/0.png"}]))
    with pytest.raises(Refused) as refused:
        dataset.find_splits(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} holds two manifests for 1 of its splits:\n  train.jsonl and train.parquet\nRemove one of each."
    )


def test_what_is_no_parquet_and_an_empty_file_are_refused(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"id,text\n")
    with pytest.raises(Refused, match=rf"^{tmp_path}/train\.parquet is no Parquet file that can be read: "):
        dataset.read_split(tmp_path, "train")
    write_parquet(tmp_path, [])
    with pytest.raises(Refused, match=r"train\.parquet is empty; remove it or fill it"):
        dataset.read_split(tmp_path, "train")


def test_without_pyarrow_the_way_out_is_named(tmp_path, monkeypatch):
    write_parquet(tmp_path, numbered([{"img": "1.png"}]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        Refused, match=r"train\.parquet: reading Parquet needs pyarrow, .*: pip install 'memefuse\[cloud\]'$"
    ):
        dataset.read_split(tmp_path, "train")


@pytest.mark.parametrize("inline", [True, False], ids=["bytes", "paths"])
def test_elsewhere_the_same_memes_are_read(tmp_path, away, upload, inline):
    data = folder_with_images(tmp_path / "data", 40)
    names = [f"img/{number}.png" for number in range(40)]
    disk.rows(data, "dev", *numbered({"img": name} for name in names))
    cells = [(data / name).read_bytes() for name in names] if inline else names
    write_parquet(data, numbered({"img": cell} for cell in cells), kind=pa.binary() if inline else pa.string())
    upload(data, away)
    assert dataset.find_splits(away) == ["train", "dev"]
    expected = told(dataset.read_split(data, "dev"))
    assert told(dataset.read_split(away, "train")) == told(dataset.read_split(away, "dev")) == expected


def test_a_manifest_of_many_images_is_not_held_in_memory(tmp_path):
    picture = bytes(range(256)) * 400  # 100 kB
    rows = numbered({"img": picture + str(number).encode()} for number in range(300))
    write_parquet(tmp_path, rows, kind=pa.binary(), write_batch_size=8, use_dictionary=False)
    held = pa.total_allocated_bytes()
    peak = 0
    tracemalloc.start()
    memes = dataset.read_split(tmp_path, "train").memes
    for meme in memes:
        digest(meme.image)
        peak = max(peak, pa.total_allocated_bytes() - held)
    own = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(memes) == 300
    # of 30 MB of images, KEPT x CELLS are 13 MB, and pages of 1 MB are on their way
    assert peak + own < 20e6


def test_a_column_twice_is_refused(tmp_path):
    table = pa.table([["1"], ["t"], ["a"], ["b"]], names=["id", "text", "img", "img"])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(Refused, match=r"train\.parquet holds a column more than once: img$"):
        dataset.read_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([1, 2_000_000_001], pa.timestamp("ns")), "id is "),
        (pa.array([1 << 62, 1 << 62], pa.timestamp("us")), "a value of type timestamp[us] cannot be read: "),
    ],
)
def test_ids_that_python_cannot_hold_are_faults(tmp_path, values, reason):
    pq.write_table(pa.table({"id": values, "text": ["a", "b"], "img": [b"x", b"x"]}), tmp_path / "train.parquet")
    told_faults = dataset.read_split(tmp_path, "train").faults
    assert len(told_faults) == 2
    assert told_faults[0].reason.startswith(reason)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=5),
    st.integers(0, 1 << 16) | st.none(),
    st.sampled_from([pa.decimal128(21, 2), pa.string(), pa.timestamp("ns"), pa.int64()]),
)
def test_a_mutated_file_is_read_or_refused(tmp_path_factory, flips, cut, kind):
    folder = tmp_path_factory.mktemp("mutated")
    ids = pa.array([f"{number}" for number in range(3)]).cast(pa.int64()).cast(kind)
    table = pa.table({"id": ids, "text": ["a", "b", "c"], "img": [b"x", None, b"z"], "label": [0, 1, None]})
    pq.write_table(table, folder / "train.parquet")
    raw = bytearray((folder / "train.parquet").read_bytes())
    for place, value in flips:
        raw[place % len(raw)] = value
    (folder / "train.parquet").write_bytes(raw[: cut and cut % len(raw)])
    try:
        for meme in dataset.read_split(folder, "train").memes:
            meme.image.read_bytes()
    except Failed as refused:
        str(refused).encode()


def test_other_columns_are_kept_but_for_bytes_and_what_cannot_be_read(tmp_path):
    folder_with_images(tmp_path)
    columns = {"id": ["1", "2"], "img": IMAGES[:2], "text": ["a", "b"], "label": [0, 1], "raw": [b"1", b"2"]}
    columns |= {"source": ["web", None], "targets": [["a"], []]}
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"x\xff")]
    )
    pq.write_table(pa.table(columns | {"odd": bad}), tmp_path / "train.parquet")
    split = dataset.read_split(tmp_path, "train")
    assert not split.faults
    assert [meme.columns for meme in split.memes] == [{"source": "web", "targets": ["a"], "odd": "x"}, {"targets": []}]
