"""Rows of memes are read from wherever they come; what cannot be used is named, all together."""

import io
import json

import pytest
from memes_on_disk import image, meme, rows

from experiments.scoring import rows as reading
from extract.errors import Failed, Refused


@pytest.fixture
def folder(tmp_path):
    image(tmp_path / "img" / "1.png")
    rows(tmp_path, "dev_seen", meme("1"), meme("2", img="img/1.png"))
    rows(tmp_path, "test", meme("3", img="img/1.png"))
    return tmp_path


def test_one_split_is_read_and_several_are_refused(folder):
    assert [each.id for each in reading.of_split(folder, "dev_seen", quiet=True).memes] == ["1", "2"]
    with pytest.raises(Refused, match=r"--split all is .*dev_seen.*: name one of them"):
        reading.of_split(folder, "all", quiet=True)


def test_images_of_lines_start_from_the_file_or_from_the_folder_that_is_named(folder, monkeypatch):
    line = json.dumps(meme("7", img="1.png"))
    (folder / "img" / "new.jsonl").write_text(line + "\n")
    (folder / "new.jsonl").write_text(line + "\n")
    for source, data in ((folder / "img" / "new.jsonl", None), (folder / "new.jsonl", folder / "img")):
        [found] = reading.of_lines(str(source), data).memes
        assert found.image == folder / "img" / "1.png"
    [fault] = reading.of_lines(str(folder / "new.jsonl"), None).faults
    assert "1.png is missing" in str(fault)
    monkeypatch.chdir(folder / "img")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line.encode())))
    assert [each.id for each in reading.of_lines("-", None).memes] == ["7"]


def test_no_rows_are_refused(folder):
    (folder / "empty.jsonl").write_text("\n\n")
    with pytest.raises(Refused, match=r"empty.jsonl holds no rows$"):
        reading.of_lines(str(folder / "empty.jsonl"), None)
    with pytest.raises(Refused, match=r"none.jsonl cannot be read: No such file or directory"):
        reading.of_lines(str(folder / "none.jsonl"), None)


def test_examples_need_labels_or_are_left_out_and_listed(folder):
    rows(folder, "mine", meme("a", label=1, img="img/1.png"), meme("b", label=None, img="img/1.png"), meme("c"))
    path = folder / "mine.jsonl"
    memes, left_out = reading.labelled(path, ("text", "image"), skip=True)
    assert [each.id for each in memes] == ["a"]
    assert left_out == ["mine.jsonl:3  c  img/c.png is missing", "b  no label"]
    with pytest.raises(
        Refused, match=r"1 of 2 examples in .*mine.jsonl have no label, and so no vote:\n  b\nLabel them"
    ):
        reading.labelled(path, ("text", "image"), skip=False)
    rows(folder, "mine", meme("a", img="img/1.png"), meme("c"))
    with pytest.raises(Refused, match=r"img/c.png is missing"):
        reading.labelled(path, ("text", "image"), skip=False)
    assert len(reading.labelled(path, ("text",), skip=False)[0]) == 2  # of texts no image is asked
    with pytest.raises(Refused, match=r"--examples .*none.jsonl: there is no such file"):
        reading.labelled(folder / "none.jsonl", ("text",), skip=True)


def test_images_that_cannot_be_decoded_are_all_named(folder):
    memes = reading.of_split(folder, "dev_seen", quiet=True).memes
    bad = {1: "empty file", 0: "torn"}
    lines = [f"1  {folder}/img/1.png: torn", f"2  {folder}/img/1.png: empty file"]
    assert reading.undecodable(memes, bad, skip=True) == lines
    assert reading.undecodable(memes, {}, skip=False) == []
    with pytest.raises(Failed) as failed:
        reading.undecodable(memes, bad, skip=False, what="pictures")
    assert str(failed.value).startswith("2 of 2 pictures cannot be decoded; nothing was written.\n  1  ")
    assert all(line in str(failed.value) for line in lines)
