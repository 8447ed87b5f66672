"""Manifests get the words that were read and keep all else; what cannot be read is named, all together."""

import os
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import memes_on_disk as disk
import pytest
from fake_reader import words
from unread_memes import pictures, rows

from extract import dataset, errors
from extract.errors import Failed, Refused
from extract.ocr import __main__ as command
from extract.ocr.read import read_words
from extract.remote import Remote

pytest_plugins = ["unread_memes"]

HELPERS = Path(__file__).parent.parent.parent / "helpers"


def test_rows_without_a_text_get_one_and_all_else_stays(data, capsys):
    before = (data / "train.jsonl").read_bytes()
    train, dev = read_words(data, words=words(), verbose=True)
    assert rows(data / "train.jsonl") == [
        {"id": "01", "img": "img/a.png", "label": 1, "source": "über", "text": "Red, and WARM below"},
        {"id": 2, "img": "/img/b.png", "text": "vert pré below", "label": 0},
        {"id": "3", "img": "img/c.png", "text": ""},
        {"id": "4", "img": "img/d.png", "text": "typedé"},
    ]
    after = (data / "train.jsonl").read_bytes().splitlines()
    assert after[3:] == before.splitlines()[3:]  # to the byte
    assert "vert pré".encode() in after[1]  # a person can correct it
    assert train.texts == {"01": "Red, and WARM below", "2": "vert pré below", "3": ""}
    assert (dev.texts, dev.left_out, [meme.text for meme in dataset.read_split(data, "dev").memes]) == ({}, [], [""])
    (kept,) = data.glob("train.*.before-ocr.jsonl")
    assert kept.read_bytes() == before
    assert not list(data.glob("dev.*.*"))
    said = capsys.readouterr().err
    assert "train.jsonl: words of 3 memes (1 without any), written" in said
    assert "dev.jsonl: all of its 1 memes have a text (1 of them empty); --all reads their pictures as well" in said


def test_corrected_words_stay_unless_all_are_asked_for(data):
    read_words(data, words=words())
    corrected = (data / "train.jsonl").read_text().replace("WARM", "warm")
    (data / "train.jsonl").write_text(corrected)
    again = words()
    read_words(data, words=again)
    assert (data / "train.jsonl").read_text() == corrected
    assert again.reader.read == []
    read_words(data, every=True, words=again)
    assert [meme.text for meme in dataset.read_split(data, "train").memes][::3] == ["Red, and WARM below", "blue below"]
    assert dataset.read_split(data, "dev").memes[0].text == "Red, and WARM below"
    assert len(again.reader.read) == 4  # of five images two are the same
    assert corrected in [path.read_text() for path in data.glob("train.*.before-ocr.jsonl")]


def test_bad_images_are_named_all_together_and_nothing_is_written(data):
    (data / "img" / "a.png").write_bytes(b"")
    (data / "img" / "b.png").write_bytes(b"no image")
    before = (data / "train.jsonl").read_bytes()
    with pytest.raises(Failed) as refusal:
        read_words(data, words=words())
    assert str(refusal.value) == (
        "2 of 3 images cannot be read; no manifest was written.\n"
        f"  01  {data}/img/a.png  0 bytes: empty file\n"
        f"  2  {data}/img/b.png  8 bytes: not an image of a known format\n"
        "What is written on the others is kept. Replace these images and run again, or pass --on-error skip: these "
        "memes get no text."
    )
    assert (data / "train.jsonl").read_bytes() == before
    train = read_words(data, on_error="skip", words=words())[0]
    assert train.left_out[0] == f"01  {data}/img/a.png  0 bytes: empty file"
    assert ["text" in row for row in rows(data / "train.jsonl")] == [False, True, True, True]
    assert rows(data / "train.jsonl")[1]["text"] is None


def test_of_pictures_alone_the_bad_ones_get_no_row(tmp_path):
    folder = pictures(tmp_path / "pics", a="red")
    (folder / "b.png").write_bytes(b"")
    (result,) = read_words(images=folder, on_error="skip", words=words())
    assert [row["id"] for row in rows(folder / "test.jsonl")] == ["a"]
    assert result.left_out == [f"b  {folder}/b.png  0 bytes: empty file"]


def test_faulty_rows_are_named_before_any_work(data):
    with (data / "train.jsonl").open("a") as file:
        file.write('{"id": "7", "img": "img/none.png"}\n{"id": \n{"id": "01", "img": "img/e.png"}\n')
    reader = words()
    with pytest.raises(Refused) as refusal:
        read_words(data, words=reader)
    told = str(refusal.value)
    assert told.startswith("4 of 8 rows cannot be used; nothing was read.\n  train.jsonl:1  01  id also on line 8")
    assert "train.jsonl:6  7  img/none.png is missing\n  train.jsonl:7  ?  broken JSON" in told
    assert "has no text" not in told
    assert reader.reader.read == []
    before = (data / "train.jsonl").read_bytes().splitlines()
    result = read_words(data, on_error="skip", words=reader)[0]
    after = (data / "train.jsonl").read_bytes().splitlines()
    assert (list(result.texts), after[0], after[5:]) == (["2", "3"], before[0], before[5:])


def test_memes_elsewhere_are_read_there(tmp_path, data, monkeypatch):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))
    away = Remote("memory://ocr/data")
    for path in (data / "train.jsonl", *sorted((data / "img").iterdir())):
        (away / path.relative_to(data).as_posix()).write_bytes(path.read_bytes())
    read_words(away, words=words())
    assert [meme.text for meme in dataset.read_split(away, "train").memes][1] == "vert pré below"
    with pytest.raises(Refused, match="leave out --out"):
        read_words(away, out=tmp_path / "out", words=words())


def test_what_cannot_be_meant_is_refused(data, tmp_path, monkeypatch, capsys):
    with pytest.raises(Refused, match=r"name either a dataset with --data, or a folder of pictures"):
        read_words(words=words())
    with pytest.raises(Refused, match=r"holds a manifest for train, dev: name it with --data"):
        read_words(images=data, words=words())
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match=r"empty holds no picture; taken for one are \.png, \.jpg"):
        read_words(images=tmp_path / "empty", words=words())
    with pytest.raises(Refused, match=r"no folder .*none; name a folder of pictures with --images"):
        read_words(images=tmp_path / "none", words=words())
    there = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "rapidocr" else there(name))
    assert errors.run(lambda: command.main(["--data", str(data)])) == 2
    assert capsys.readouterr().err == (
        "error: reading words from pictures needs rapidocr, not installed here. Run: pip install 'memefuse[ocr]'\n"
    )


def test_stage_1_names_the_command(data):
    with pytest.raises(Refused, match=rf"3 rows have no text: python -m extract\.ocr --data {data} reads it from the"):
        dataset.refuse_faults([dataset.read_split(data, "train"), dataset.read_split(data, "dev")])
    (data / "pics").mkdir()
    with pytest.raises(Refused, match=r"holds no split.*\nIf it holds pictures alone: python -m extract\.ocr --images"):
        dataset.find_splits(data / "pics")


def test_killed_it_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "data"
    for number in range(12):
        pictures(folder / "img", **{str(number): (number, 9, 9)})
    disk.rows(folder, "train", *({"id": str(number), "img": f"img/{number}.png"} for number in range(12)))
    cache = tmp_path / "cache"
    code = f"import fake_reader; fake_reader.read_slowly({str(folder)!r})"
    paths = os.pathsep.join([str(HELPERS), str(HELPERS.parent.parent)])
    environment = os.environ | {"PYTHONPATH": paths, "MEMEFUSE_CACHE": str(cache)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        while len(list(cache.glob("ocr/*/*/*.json"))) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    kept = len(list(cache.glob("ocr/*/*/*.json")))
    assert "text" not in (folder / "train.jsonl").read_text()
    rest = words(cache / "ocr")
    read_words(folder, words=rest)
    assert len(rest.reader.read) == 12 - kept
    assert [row["text"] for row in rows(folder / "train.jsonl")] == [f"{number} 9 9 below" for number in range(12)]
