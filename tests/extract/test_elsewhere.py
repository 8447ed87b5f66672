"""Stage 1 from and to places that are not this machine's disk: the same vectors, locks, kills and failures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract import dataset, inspect, publish, store
from extract.errors import Failed, Refused
from extract.locks import locked
from extract.places import Remote, glob, place
from extract.remote import StorageUnreachable

pytest_plugins = ["elsewhere", "faked_stage"]

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = 12


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """JSON lines and images; `train` and `dev` are the same memes but for their ids."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "img").mkdir()
    for split in ("train", "dev"):
        rows = []
        for number in range(ROWS):
            name = f"img/{number}.png"
            Image.new("RGB", (8, 8), (number * 20, 255 - number, 7)).save(folder / name)
            rows.append({"id": f"{split}-{number}", "img": name, "text": "x" * number, "label": number % 2})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def inline(local, tmp_path_factory):
    """The same as Parquet files alone, images inside."""
    folder = tmp_path_factory.mktemp("inline")
    for split in ("train", "dev"):
        rows = [json.loads(line) for line in (local / f"{split}.jsonl").read_text().splitlines()]
        for row in rows:
            row["image"] = (local / row.pop("img")).read_bytes()
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet", row_group_size=5)
    return folder


def vectors(features) -> dict[str, np.ndarray]:
    found = {}
    for path in glob(features, "[!.]*/[!.]*.h5"):
        store.verify(path, fresh=True)
        found[f"{path.parent.name}/{path.stem}"] = np.asarray(store.read(path).vector)
    return found


@pytest.fixture
def expected(local, extract, tmp_path):
    assert extract(local, tmp_path / "expected") == (0, ROWS, ROWS)
    return vectors(tmp_path / "expected")


def assert_equal(found, expected):
    assert found.keys() == expected.keys() != set()
    for name, vector in expected.items():
        np.testing.assert_array_equal(found[name], vector)


@pytest.mark.parametrize(("kind", "more"), [("jsonl", ()), ("parquet", ("--shard-rows", "5"))], ids=["whole", "shards"])
def test_wherever_memes_and_vectors_lie_the_vectors_are_the_same(
    kind, more, local, inline, away, upload, extract, expected, capsys
):
    data = upload(local if kind == "jsonl" else inline, away / "data")
    features = away / "features"
    assert extract(data, features, *more) == (0, ROWS, ROWS)
    assert_equal(vectors(features), expected)
    shards = 2 * 2 * 3 if more else 0
    assert sorted(path.name for path in glob(features, "*/*.h5")) == sorted(["dev.h5", "train.h5"] * 2)
    assert len(glob(features, "*/*/*")) == shards
    assert extract(data, features, *more) == (0, 0, 0)
    assert capsys.readouterr().err.count("up to date") == 4
    assert inspect.main([str(features), "--verify"]) == 0
    assert capsys.readouterr().out.endswith("4 files verified\n")


def test_a_local_parquet_gives_the_same_vectors(inline, extract, expected, tmp_path):
    assert extract(inline, tmp_path / "features") == (0, ROWS, ROWS)
    assert_equal(vectors(tmp_path / "features"), expected)


def test_shards_elsewhere_are_taken_over_when_others_change(local, bucket, upload, extract, tmp_path):
    data = upload(local, bucket / "data")
    extract(data, bucket / "features", "--shard-rows", "5")
    before = {path.name: path.modified() for path in glob(bucket / "features", "fake-text/train/*")}
    lines = (local / "train.jsonl").read_text().splitlines()
    more = [{**json.loads(lines[0]), "id": f"new-{number}", "text": f"new {number}"} for number in range(5)]
    (data / "train.jsonl").write_bytes("\n".join([*lines, *map(json.dumps, more)]).encode())
    assert extract(data, bucket / "features", "--shard-rows", "5") == (0, 5, 0)
    after = [path.name for path in glob(bucket / "features", "fake-text/train/*")]
    assert [name.split("-")[:3] for name in after] == [[f"0000{n}", "of", "00004"] for n in range(4)]
    assert [name[-15:] for name in after][:2] == [name[-15:] for name in before][:2]
    assert store.read(bucket / "features/fake-text/train.h5").ids.tolist()[-1] == "new-4"


def test_a_flipped_byte_elsewhere_is_found(local, memory, upload, extract, capsys):
    data = upload(local, memory / "data")
    extract(data, memory / "features", "--shard-rows", "5")
    shard = glob(memory / "features", "fake-image/dev/*")[1]
    whole = bytearray(shard.read_bytes())
    whole[-1] ^= 1
    shard.write_bytes(bytes(whole))
    with pytest.raises(Failed, match=rf"1 of 4 files are damaged:\n.*1 of 3 shards are damaged:\n  {shard}: its bytes"):
        inspect.main([str(memory / "features"), "--verify"])
    shard.unlink()
    assert extract(data, memory / "features", "--shard-rows", "5") == (0, 0, 0)  # train holds the same images
    assert inspect.main([str(memory / "features"), "--verify"]) == 0


def killed(*_):
    raise Failed("killed")


def damage_copies(cache: Path) -> int:
    """Flip the last byte of every HDF5 file that a machine holds a copy of; return how many there are."""
    count = 0
    for path in cache.rglob("*"):
        if path.is_file() and (whole := bytearray(path.read_bytes()))[512:520] == b"\x89HDF\r\n\x1a\n":
            whole[-1] ^= 1
            path.write_bytes(bytes(whole))
            count += 1
    return count


def test_a_damaged_copy_is_fetched_again_and_takes_no_good_file_with_it(
    local, memory, upload, extract, monkeypatch, expected, cache
):
    data = upload(local, memory / "data")
    with monkeypatch.context() as patch:
        patch.setattr(publish, "publish", killed)
        extract(data, memory / "features")
    assert damage_copies(cache) == len(glob(memory / "features", "*/.parts/*/*.h5")) == 2 * 3
    assert extract(data, memory / "features") == (0, 0, 0)  # every part is good where it lies
    assert_equal(vectors(memory / "features"), expected)
    assert damage_copies(cache)
    extract(data, memory / "features")
    assert_equal(vectors(memory / "features"), expected)


def test_parts_of_a_run_that_died_elsewhere_are_used(local, memory, upload, extract, monkeypatch, expected):
    data = upload(local, memory / "data")
    whole = publish.publish
    monkeypatch.setattr(publish, "publish", killed)
    assert extract(data, memory / "features") == (1, ROWS, ROWS)
    assert len(glob(memory / "features", "*/.parts/*/*.h5")) == 2 * 3
    part = glob(memory / "features", "fake-text/.parts/*/*.h5")[0]
    part.write_bytes(part.read_bytes()[:-9])
    monkeypatch.setattr(publish, "publish", whole)
    assert extract(data, memory / "features") == (0, 5, 0)  # the damaged part's
    assert_equal(vectors(memory / "features"), expected)
    assert not glob(memory / "features", "*/.parts/*/*.h5")


def test_a_network_that_fails_in_mid_run_is_no_bad_image(local, memory, upload, extract, monkeypatch, capsys, expected):
    data = upload(local, memory / "data")
    read, count = Remote.read_bytes, iter(range(10_000))

    def failing(self):
        if self.suffix == ".png" and next(count) >= 2 * ROWS + 7:
            raise StorageUnreachable(f"{self}: cannot be reached (gone)")
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "read_bytes", failing)
        status, _, _ = extract(data, memory / "features", "--on-error", "skip")
    assert status == 1
    assert "cannot be reached (gone)" in capsys.readouterr().err
    assert not glob(memory / "features", "*/*.h5")
    status, texts, images = extract(data, memory / "features", "--on-error", "skip")
    assert (status, texts) == (0, ROWS)
    assert images < ROWS
    assert_equal(vectors(memory / "features"), expected)


def test_a_bad_image_elsewhere_is_named_and_skipped(local, memory, upload, extract, capsys):
    data = upload(local, memory / "data")
    (data / "img/3.png").write_bytes(b"")
    assert extract(data, memory / "features")[0] == 1
    assert f"train-3  {data}/img/3.png  0 bytes: empty file" in capsys.readouterr().err
    assert extract(data, memory / "features", "--on-error", "skip")[0] == 0
    assert len(store.read(memory / "features/fake-text/train.h5")) == ROWS - 1
    assert b"train-3\t" in (memory / "features/fake-text/train.dropped.txt").read_bytes()


def test_two_extractions_into_one_bucket_are_not_run_at_once(local, bucket, extract, capsys):
    with locked(bucket / "fake-image", "another extraction", "--features"):
        assert extract(local, bucket) == (2, 0, 0)
    assert f"another extraction (process {os.getpid()} on " in capsys.readouterr().err
    assert extract(local, bucket)[0] == 0


def test_what_is_not_there_is_refused_before_any_work(bucket, memory, extract, local, capsys):
    for data in (bucket, memory, Remote("s3://no-such-bucket/memes")):
        assert extract(data, memory / "features") == (2, 0, 0)
        assert f"no data folder {data}." in capsys.readouterr().err
    assert extract(local, "s3://no-such-bucket/features") == (2, 0, 0)
    assert "error: s3://no-such-bucket/features/fake-image cannot be written: " in capsys.readouterr().err
    run = f"python -m extract --data DIR --features {bucket}"
    with pytest.raises(Refused, match=rf"^no features folder {bucket}; run: {run}$"):
        store.encoders(bucket)


def test_the_way_of_a_folder_imports_nothing_for_other_places(local, tmp_path):
    probe = f"""
import sys
from pathlib import Path
from extract import dataset, publish, store
from extract.places import place
split = dataset.read_split(place({str(local)!r}), "train")
assert [meme.image.read_bytes() for meme in split.memes]
store.encoders(Path({str(tmp_path)!r}))
print(sorted({{"fsspec", "pyarrow", "s3fs", "boto3", "botocore", "aiobotocore"}} & set(sys.modules)))
"""
    home = str(Path(__file__).parent.parent.parent)
    answer = subprocess.run([sys.executable, "-c", probe], cwd=home, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_file_urls_are_local(local):
    assert dataset.read_split(place(f"file://{local}"), "dev").memes[0].id == "dev-0"
