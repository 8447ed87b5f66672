"""Damaged published files: no run takes a vector from one and seals it anew."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract import inspect, store
from extract.errors import Failed

pytest_plugins = ["faked_stage"]

ROWS = 4


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data/img").mkdir(parents=True)
    for number in range(ROWS):
        Image.new("RGB", (8, 8), (number * 20, 9, 7)).save(tmp_path / f"data/img/{number}.png")
    write(tmp_path / "data", labels=[0] * ROWS)
    return tmp_path / "data"


def write(folder, labels, split="train"):
    rows = [
        {"id": f"{split}-{number}", "img": f"img/{number}.png", "text": "x" * number, "label": label}
        for number, label in enumerate(labels)
    ]
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def flip_a_vector_byte(path: Path) -> None:
    """In the last vector, to a number that is finite, too."""
    with open(path, "r+b") as file:
        file.seek(store.files.open_file(path).offset + store.read(path).vector.nbytes - 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("shards", [[], ["--shard-rows", "3"]], ids=["one file", "shards"])
def test_a_flipped_byte_is_not_sealed_as_good_when_a_label_changes(data, tmp_path, extract, capsys, shards):
    features = tmp_path / "features"
    extract(data, features, *shards)
    published = features / "fake-image/train.h5"
    whole = np.array(store.read(published).vector)
    damaged = sorted((features / "fake-image").glob("*/*.h5"))[-1] if shards else published
    flip_a_vector_byte(damaged)
    held_there = len(store.read(damaged))
    write(data, labels=[1] * ROWS)
    capsys.readouterr()
    assert extract(data, features, *shards) == (0, 0, held_there)
    said = capsys.readouterr().err
    assert f"{damaged} is damaged: its bytes do not match its sha256. It is deleted and encoded again\n" in said
    np.testing.assert_array_equal(store.read(published).vector, whole)
    store.verify(published)


@pytest.mark.parametrize("change", [["--on-error", "skip"], []])
def test_a_damaged_file_is_found_before_its_vectors_go_into_another_split(data, tmp_path, extract, change):
    features = tmp_path / "features"
    extract(data, features)
    flip_a_vector_byte(features / "fake-image/train.h5")
    write(data, [0] * ROWS, split="dev")
    assert extract(data, features, "--split", "dev", *change) == (0, 0, ROWS)
    store.verify(features / "fake-image/dev.h5")


def test_where_nothing_changes_published_files_are_not_read_in_full(data, tmp_path, extract, monkeypatch):
    features = tmp_path / "features"
    extract(data, features)
    monkeypatch.setattr(store.files, "check_seal", None)
    monkeypatch.setattr(store, "check_seal", None)
    assert extract(data, features) == (0, 0, 0)


@pytest.mark.parametrize("told", ["the split", "the shard"])
def test_a_damaged_shard_is_mended_whichever_of_the_two_named_files_is_deleted(data, tmp_path, extract, told):
    """Without its index, a shard is yet a file that vectors are taken from, and would be written again as it is."""
    features = tmp_path / "features"
    extract(data, features, "--shard-rows", "3")
    published = features / "fake-image/train.h5"
    whole, (sound, shard) = np.array(store.read(published).vector), sorted(published.parent.glob("*/*.h5"))
    flip_a_vector_byte(shard)
    with pytest.raises(Failed, match=rf"1 of 2 files are damaged:\n  {published}: 1 of 2 shards .*\n  {shard}: its"):
        inspect.main([str(features), "--verify"])
    (published if told == "the split" else shard).unlink()
    before = sound.read_bytes()
    assert extract(data, features, "--shard-rows", "3") == (0, 0, ROWS - 3)
    np.testing.assert_array_equal(store.read(published).vector, whole)
    assert (inspect.main([str(features), "--verify"]), sound.read_bytes()) == (0, before)
