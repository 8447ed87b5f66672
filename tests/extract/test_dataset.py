"""The data contract: everything real data holds is read right or named exactly."""

import errno
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memes_on_disk import faults, row, write_rows

from extract import dataset, errors, manifest
from extract.errors import Refused


def test_reads_rows_in_file_order_with_ids_as_text(tmp_path):
    write_rows(tmp_path, "train", [row("01235", 1), row(1235, 0), row("é😀", 0)])
    split = dataset.read_split(tmp_path, "train")
    assert [(meme.id, meme.label) for meme in split.memes] == [("01235", 1), ("1235", 0), ("é😀", 0)]
    assert not split.faults


def test_refusal_counts_names_and_says_what_to_do(tmp_path):
    write_rows(tmp_path, "train", [row("1"), row("2", 7), row("3")])
    with pytest.raises(Refused) as caught:
        dataset.refuse_faults([dataset.read_split(tmp_path, "train")])
    assert str(caught.value) == (
        "1 of 3 rows cannot be used; nothing was encoded.\n"
        "  train.jsonl:2  2  label is 7, expected 0 or 1 (no label at all if it is unknown)\n"
        "Mend them and run again, or pass --on-error skip: these memes are left out and listed."
    )
    assert caught.value.status == 2


def test_rows_without_a_text_are_refused_with_the_command_that_reads_it(tmp_path):
    write_rows(tmp_path, "train", [row("1", text=None), row("2", text=None), row("3")])
    with pytest.raises(Refused) as caught:
        dataset.refuse_faults([dataset.read_split(tmp_path, "train")])
    says = f"2 rows have no text: python -m extract.ocr --data {tmp_path} reads it from the pictures.\n"
    assert says in str(caught.value)
    lines = (tmp_path / "train.jsonl").read_bytes().splitlines()
    with pytest.raises(Refused, match=r"2 rows have no text: memefuse\[ocr\], once installed, reads it"):
        dataset.refuse_faults([dataset.read_lines(lines, "train", tmp_path)])


def test_rows_too_many_for_a_message_are_all_in_a_file(tmp_path):
    write_rows(tmp_path, "train", [row(str(number), 7) for number in range(1234)])
    listed = tmp_path / "features/to_mend.txt"
    with pytest.raises(Refused, match=rf"  \.\.\. and 1,214 more\n  all 1,234 are listed in {listed}\nMend them"):
        dataset.refuse_faults([dataset.read_split(tmp_path, "train")], tmp_path / "features")
    lines = listed.read_text().splitlines()
    assert len(lines) == 1234
    assert lines[-1] == "train.jsonl:1234  1233  label is 7, expected 0 or 1 (no label at all if it is unknown)"


def test_where_no_file_can_be_written_the_message_stands_alone(tmp_path):
    (tmp_path / "features").write_text("no folder")
    items = [str(number) for number in range(21)]
    assert dataset.list_faults(items, tmp_path / "features") == errors.listing(items)


def test_an_id_twice_drops_both_and_says_whether_labels_differ(tmp_path):
    write_rows(tmp_path, "train", [row("1", 0), row("2", 1), row(1, 1), row("2", 1)])
    assert faults(tmp_path) == {
        1: "id also on line 3, with different labels",
        2: "id also on line 4",
        3: "id also on line 1, with different labels",
        4: "id also on line 2",
    }
    assert dataset.read_split(tmp_path, "train").memes == []


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    write_rows(tmp_path, "train", [row("1")])

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "somewhere")

    monkeypatch.setattr(manifest, "read_rows", refuse)
    with pytest.raises(Refused, match=r"train\.jsonl cannot be read: Permission denied$"):
        dataset.read_split(tmp_path, "train")


def test_images_are_not_asked_for_when_only_text_is_encoded(tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps(row("1")))
    assert len(dataset.read_split(tmp_path, "train", sides=["text"]).memes) == 1


def test_splits_fall_back_to_the_seen_release(tmp_path):
    for name in ("train", "dev_seen", "dev_unseen", "test"):
        write_rows(tmp_path, name, [row("1")])
    assert dataset.choose_splits(tmp_path, "all") == ["train", "dev_seen", "dev_unseen", "test"]
    assert dataset.choose_splits(tmp_path, "dev,test, dev_seen") == ["dev_seen", "test"]
    with pytest.raises(Refused, match=r"has no split test_unseen, nope; it has train, dev_seen, dev_unseen, test$"):
        dataset.choose_splits(tmp_path, "train,test_unseen,nope")


def test_no_folder_no_split_and_an_empty_split_are_refused(tmp_path):
    with pytest.raises(Refused, match=r"no data folder .*absent"):
        dataset.find_splits(tmp_path / "absent")
    with pytest.raises(Refused, match=r"holds no split; expected at least one of train\.jsonl"):
        dataset.find_splits(tmp_path)
    (tmp_path / "train.jsonl").write_text("\n\n")
    with pytest.raises(Refused, match=r"train\.jsonl is empty"):
        dataset.read_split(tmp_path, "train")


def test_overlaps_count_distinct_keys():
    keys = {"train": ["a", "b", "b"], "dev": ["b", "c"], "test": ["d"]}
    assert dataset.overlaps(keys) == {("train", "dev"): 1}


def test_a_manifest_that_is_a_folder_or_a_dangling_link_is_called_by_its_name(tmp_path):
    (tmp_path / "train.jsonl").mkdir()
    (tmp_path / "dev.jsonl").symlink_to("gone")
    for split, reason in (("train", "Is a directory"), ("dev", "No such file or directory")):
        with pytest.raises(Refused, match=rf"{split}\.jsonl cannot be read: {reason}$"):
            dataset.read_split(tmp_path, split)


def test_ids_with_newlines_take_one_line_of_the_list(tmp_path):
    write_rows(
        tmp_path, "train", [{"id": f"{number}\n\x1b[1m", "img": "img/0.png", "text": ""} for number in range(21)]
    )
    (tmp_path / "img/0.png").unlink()
    with pytest.raises(Refused, match=r"train\.jsonl:1  0\\n\\x1b\[1m  img/0\.png is missing\n"):
        dataset.refuse_faults([dataset.read_split(tmp_path, "train")], tmp_path / "features")
    assert len((tmp_path / "features/to_mend.txt").read_text().splitlines()) == 21


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["id", "img", "text", "label"]), json_value, max_size=3),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
)
def test_a_mutated_manifest_is_read_or_refused(tmp_path_factory, change, flips):
    folder = tmp_path_factory.mktemp("mutated")
    write_rows(folder, "train", [row("1")])
    raw = bytearray(f"{json.dumps(row('1'))}\n{json.dumps(row('2') | change)}\n".encode())
    for place, value in flips:
        raw[place % len(raw)] = value
    (folder / "train.jsonl").write_bytes(raw)
    try:
        split = dataset.read_split(folder, "train")
        errors.listing([*map(str, split.faults), *(f"{meme.id} {meme.image}" for meme in split.memes)]).encode()
        dataset.refuse_faults([split], folder / "features")
    except Refused as refused:
        str(refused).encode()


@given(st.binary(max_size=80))
def test_any_line_is_read_or_named(tmp_path_factory, raw):
    folder = tmp_path_factory.mktemp("any")
    (folder / "train.jsonl").write_bytes(b'{"id": "0", "img": "img/0.png", "text": ""}\n' + raw)
    split = dataset.read_split(folder, "train", sides=["text"])
    lines = [line for line in raw.split(b"\n") if line.strip()]
    assert len(split.memes) + len(split.faults) == 1 + len(lines)


def test_what_else_a_row_holds_is_kept_as_it_is(tmp_path):
    more = {"source": "web", "targets": ["a", 1], "seen": None, "by": {"one": 0.5}}
    write_rows(tmp_path, "train", [row("1", **more), row("2")])
    assert [meme.columns for meme in dataset.read_split(tmp_path, "train").memes] == [more, {}]
