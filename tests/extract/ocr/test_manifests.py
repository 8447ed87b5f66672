"""Manifests with words: what else they hold stays, and beside them lies what was read."""

import pytest
from fake_reader import words
from unread_memes import pictures, rows

from extract import dataset
from extract.errors import Refused
from extract.ocr.read import read_words

pytest_plugins = ["unread_memes"]


def test_what_was_read_is_kept_with_boxes_and_confidences(data):
    read_words(data, words=words())
    first, second, third = rows(data / "train.ocr.jsonl")
    assert first == {
        "id": "01", "img": "a.png", "text": "Red, and WARM below", "width": 30, "height": 20,
        "lines": [
            {"text": "Red, and WARM", "box": [[0, 0], [30, 0], [30, 6.7], [0, 6.7]], "confidence": 0.9},
            {"text": "below", "box": [[0, 10], [30, 10], [30, 20], [0, 20]], "confidence": 0.75},
        ],
    }  # fmt: skip
    assert (second["id"], third["lines"]) == ("2", [])
    with (data / "train.jsonl").open("a") as file:
        file.write('{"id": "6", "img": "img/e.png"}\n')
    read_words(data, words=words())
    assert [row["id"] for row in rows(data / "train.ocr.jsonl")] == ["01", "2", "3", "6"]  # earlier ones stay


def test_a_folder_of_its_own_leads_to_the_images(data, tmp_path):
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    out = tmp_path / "out"
    read_words(data, every=True, out=out, words=words())
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()} == before
    assert [meme.text for meme in dataset.read_split(out, "train").memes][1] == "vert pré below"
    assert dataset.read_split(out, "train").faults == []
    (out / "img").unlink()
    (out / "img").mkdir()
    with pytest.raises(Refused, match=r"out/img is there already and does not lead to .*data/img; name another folder"):
        read_words(data, every=True, out=out, words=words())


def test_pictures_without_a_manifest_get_one(tmp_path, capsys):
    folder = pictures(tmp_path / "pics", b="red", a="lime")
    pictures(folder / "more", a="white")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    read_words(images=folder, words=words())
    assert rows(folder / "test.jsonl") == [
        {"id": "a.png", "img": "a.png", "text": "vert pré below"},
        {"id": "b", "img": "b.png", "text": "Red, and WARM below"},
        {"id": "more/a.png", "img": "more/a.png", "text": ""},
    ]
    assert [meme.label for meme in dataset.read_split(folder, "test").memes] == [None] * 3
    corrected = (folder / "test.jsonl").read_text().replace("WARM", "warm")
    (folder / "test.jsonl").write_text(corrected)
    pictures(folder, c="blue")
    read_words(images=folder, words=words())
    assert (folder / "test.jsonl").read_text() == corrected + '{"id": "c", "img": "c.png", "text": "blue below"}\n'
    out = tmp_path / "out"
    read_words(images=pictures(tmp_path / "other", x="red"), out=out, words=words())
    (meme,) = dataset.read_split(out, "test").memes
    assert (meme.id, meme.text, meme.image) == ("x", "Red, and WARM below", out / "img/x.png")
    assert not (tmp_path / "other" / "test.jsonl").exists()


@pytest.mark.parametrize("inline", [True, False], ids=["bytes", "paths"])
def test_parquet_keeps_its_columns(data, inline):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["a", "b", "d"]
    images = [(data / "img" / f"{name}.png").read_bytes() if inline else f"img/{name}.png" for name in names]
    table = pa.table({"id": [1, 2, 3], "text": [None, None, "typed"], "image": images, "label": [0, 1, None]})
    pq.write_table(table, data / "test.parquet")
    (result,) = read_words(data, split="test", words=words())
    now = pq.read_table(data / "test.parquet")
    assert now["text"].to_pylist() == ["Red, and WARM below", "vert pré below", "typed"]
    assert now.drop_columns(["text"]) == table.drop_columns(["text"])
    assert result.manifest == data / "test.parquet"
    pq.write_table(table.drop_columns(["text"]), data / "test.parquet")
    read_words(data, split="test", words=words())
    assert pq.read_table(data / "test.parquet")["text"].to_pylist()[2] == "blue below"
