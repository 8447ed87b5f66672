"""JSON lines, the fields of a row, and images where they are named: read right, or named exactly."""

import json
import os

import memes_on_disk as disk
import pytest
from memes_on_disk import faults, folder_with_images, numbered, row, write_rows

from extract import dataset

pytest_plugins = ["elsewhere"]


def test_accepts_escaped_and_rooted_image_paths_bom_empty_lines_and_empty_text(tmp_path):
    write_rows(tmp_path, "train", [row("1"), row("2")])
    lines = [
        '\ufeff{"id": 1, "img": "img\\/1.png", "text": "", "label": 1}',
        "",
        '{"id": 2, "img": "/img/2.png", "text": "t"}',
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    split = dataset.read_split(tmp_path, "train")
    assert [(meme.id, meme.text, meme.label) for meme in split.memes] == [("1", "", 1), ("2", "t", None)]
    assert split.memes[1].image == tmp_path / "img/2.png"


def test_names_every_faulty_row_at_once(tmp_path):
    rows = [
        row("0", 1),
        '{"id": "1", "img": ',
        "[1, 2]",
        row("3", 2),
        row("4", "1"),
        row("5", None),
        row("6", True),
        row(None),
        row("8", text=None),
        {"id": "9", "label": 0, "text": "t"},
        row("10"),
        {"id": "11", "img": "../secret.png", "label": 0, "text": "t"},
    ]
    write_rows(tmp_path, "train", rows)
    (tmp_path / "img/10.png").unlink()
    assert faults(tmp_path) == {
        2: "broken JSON: Expecting value at column 19",
        3: "not a JSON object but list",
        4: "label is 2, expected 0 or 1 (no label at all if it is unknown)",
        5: 'label is "1", expected 0 or 1 (no label at all if it is unknown)',
        6: "label is null, expected 0 or 1 (no label at all if it is unknown)",
        7: "label is true, expected 0 or 1 (no label at all if it is unknown)",
        8: "id is null, expected text or a whole number",
        9: "text is null, expected text (may be empty)",
        10: "no img",
        11: "img/10.png is missing",
        12: "../secret.png leaves the data folder",
    }


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    write_rows(tmp_path, "train", [row("1")])
    (tmp_path / "train.jsonl").write_bytes(b'{"id": "1", "text": "\xff"}\n')
    assert faults(tmp_path) == {1: "not UTF-8: invalid start byte at byte 21"}


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    write_rows(tmp_path, "train", [row("1", text="a\ud83d b \ud83d\ude00")])
    assert dataset.read_split(tmp_path, "train").memes[0].text == "a\ufffd b 😀"


def test_a_link_out_of_the_folder_is_refused_but_a_linked_img_folder_is_the_users(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.png").write_bytes(b"x")
    data = tmp_path / "data"
    write_rows(data, "train", [row("1"), row("2")])
    (data / "img/1.png").unlink()
    (data / "img/1.png").symlink_to(elsewhere / "1.png")
    assert faults(data) == {1: "img/1.png leaves the data folder"}
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "img").symlink_to(elsewhere)
    (linked / "train.jsonl").write_text(json.dumps(row("1")))
    assert faults(linked) == {}


def test_an_img_that_is_no_file_name_is_named_shortly(tmp_path):
    write_rows(tmp_path, "train", [row("1"), row("2")])
    (tmp_path / "img/1.png").unlink()
    (tmp_path / "img/1.png").symlink_to("1.png")
    base64 = {"id": "3", "img": "iVBORw0KGgo" * 100, "label": 0, "text": "t"}
    lines = [json.dumps(each) for each in (row("1"), row("2"), base64)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    found = faults(tmp_path)
    assert found[1].startswith('"img/1.png" cannot be read: ')
    assert found[3] == f'"{"iVBORw0KGgo" * 100}'[:40] + " cannot be read: File name too long"
    assert found.keys() == {1, 3}


def test_an_image_that_may_not_be_read_is_named_with_its_row(tmp_path, monkeypatch):
    write_rows(tmp_path, "train", [row("1"), row("2")])
    locked = tmp_path / "img/2.png"
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked or mode != os.R_OK)  # root may read all
    assert faults(tmp_path) == {2: '"img/2.png" cannot be read: Permission denied'}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"img": "img/\udc80.png"}, r'img is "img/\udc80.png", which holds half a surrogate pair'),
        ({"id": "x" * 20_000_000}, "id has 20,000,000 characters, more than 256"),
        ({"img": "."}, ". is missing"),
    ],
)
def test_what_no_later_step_could_hold_is_a_fault_of_its_row(tmp_path, change, reason):
    write_rows(tmp_path, "train", [row("1")])
    (tmp_path / "train.jsonl").write_text(f"{json.dumps(row('1'))}\n{json.dumps(row('2') | change)}\n")
    assert faults(tmp_path) == {2: reason}
    assert len(dataset.read_split(tmp_path, "train").memes) == 1


def test_elsewhere_missing_images_are_found_by_listing_each_folder_once(tmp_path, memory, upload, monkeypatch):
    data = folder_with_images(tmp_path / "data")
    (data / "0.png").write_bytes(b"beside")
    names = ["img/0.png", "img/5.png", "0.png", "5.png", "img/../0.png", "img//1.png"]
    disk.rows(data, "train", *numbered({"img": name} for name in names))
    upload(data, memory)
    listed = []
    names_of = type(memory).names
    monkeypatch.setattr(type(memory), "names", lambda self: (listed.append(self.name), names_of(self))[1])
    split = dataset.read_split(memory, "train")
    assert [str(fault) for fault in split.faults] == [
        "train.jsonl:2  1  img/5.png is missing",
        "train.jsonl:4  3  5.png is missing",
        "train.jsonl:5  4  img/../0.png leaves the data folder",
    ]
    assert [meme.image.read_bytes() for meme in split.memes] == [b"image 0", b"beside", b"image 1"]
    assert listed == ["img"]


def test_elsewhere_an_img_that_is_the_folder_itself_is_missing(memory):
    (memory / "train.jsonl").write_bytes(b'{"id": "1", "img": ".", "text": ""}')
    for sides in (["text", "image"], ["text"]):
        assert [str(fault) for fault in dataset.read_split(memory, "train", sides).faults] == [
            "train.jsonl:1  1  . is missing"
        ]
