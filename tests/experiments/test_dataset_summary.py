"""What a dataset's files hold, and what its splits share."""

import pytest
from memes_on_disk import image, meme, of_every_kind, rows

from experiments.dataset_summary import Overlap, summarise


@pytest.fixture
def folder(tmp_path):
    return of_every_kind(tmp_path)


def test_headers_say_what_is_inside(folder, capsys):
    summary = summarise(folder)
    train, dev = summary.splits
    assert [(p.format, p.mode, p.width, p.height) for p in train.headers] == [
        ("PNG", "RGB", 30, 20),
        ("JPEG", "RGB", 30, 20),
        ("JPEG", "RGB", 10, 50),  # lies on its side, says EXIF
        ("", "", 0, 0),
    ]
    assert [p.reason for p in train.headers] == ["", "", "", "empty file"]
    assert [p.reason for p in dev.headers] == ["not an image of a known format", "", ""]
    assert dev.headers[2].mode == "RGBA"
    assert summary.misnamed == {(".png", "JPEG"): 1}
    assert [str(fault) for fault in train.faults] == ["train.jsonl:5  9  img/9.png is missing"]
    assert capsys.readouterr() == ("", "")


def test_what_splits_share_is_counted(folder):
    summary = summarise(folder)
    # no text is no shared text
    assert summary.overlaps == [Overlap("train", "dev_seen", ids=1, texts=1, images=1)]
    assert [split.texts_with_both_labels for split in summary.splits] == [2, 0]


def test_files_of_one_size_need_not_be_equal(tmp_path):
    for name, byte in (("1", b"a"), ("2", b"b")):
        (tmp_path / "img").mkdir(exist_ok=True)
        (tmp_path / "img" / f"{name}.png").write_bytes(byte * 10)
    rows(tmp_path, "train", meme("1", "a"))
    rows(tmp_path, "dev", meme("2", "b"))
    assert summarise(tmp_path).overlaps == []


def test_one_file_named_by_two_splits_is_shared(tmp_path):
    image(tmp_path / "img" / "1.png")
    rows(tmp_path, "train", meme("1", "a"))
    rows(tmp_path, "dev", meme("2", "b", img="img/1.png"))
    assert summarise(tmp_path).overlaps == [Overlap("train", "dev", ids=0, texts=0, images=1)]
