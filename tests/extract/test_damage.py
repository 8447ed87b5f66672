"""Damaged published files: no run takes a vector from one and seals it anew."""

import faulthandler
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_features import as_of_old, make
from PIL import Image

from extract import inspect, publish, store
from extract.errors import Failed
from extract.parts import Folder, Held

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
    assert (
        f"{damaged} is damaged: its bytes do not match its sha256. No vector is taken from it; this run writes" in said
    )
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


@pytest.mark.parametrize("where", ["vectors", "rows"])
@pytest.mark.parametrize("shards", [[], ["--shard-rows", "3"]], ids=["one file", "shards"])
def test_a_run_on_one_split_leaves_the_damaged_file_of_another(data, tmp_path, extract, capsys, shards, where):
    """It is no source of vectors, and goes only when its own split is written."""
    features = tmp_path / "features"
    extract(data, features, *shards)
    published = features / "fake-image/train.h5"
    whole = np.array(store.read(published).vector)
    damaged = sorted((features / "fake-image").glob("*/*.h5"))[0] if shards else published
    if where == "vectors":
        flip_a_vector_byte(damaged)
    else:
        damaged.write_bytes(damaged.read_bytes()[:600] + b"?" + damaged.read_bytes()[601:])
    bytes_then, rows_there = damaged.read_bytes(), 3 if shards else ROWS
    write(data, [0] * ROWS, split="dev")
    capsys.readouterr()
    assert extract(data, features, "--split", "dev", *shards) == (0, 0, rows_there)
    said = capsys.readouterr().err
    assert f"{damaged} is damaged: its bytes do not match its sha256. No vector is taken from it; it stays" in said
    assert "it stays until you delete it and extract --split train\n" in said
    assert damaged.read_bytes() == bytes_then
    store.verify(features / "fake-image/dev.h5")
    assert extract(data, features, *shards, "--on-error", "skip") == (0, 0, 0)  # dev has its vectors
    store.verify(published)
    np.testing.assert_array_equal(store.read(published).vector, whole)
    assert extract(data, features, *shards, "--on-error", "skip") == (0, 0, 0)


def test_a_damaged_shard_is_not_carried_into_a_new_set(tmp_path):
    path = tmp_path / "train.h5"
    features = make([str(number) for number in range(6)])
    store.publish(path, features, 2)
    flip_a_vector_byte(sorted(path.with_suffix("").glob("*.h5"))[0])
    longer = make([str(number) for number in range(8)])
    store.publish(path, replace(longer, vector=np.vstack([features.vector, longer.vector[6:]])), 2)
    store.verify(path)
    np.testing.assert_array_equal(store.read(path).vector[:6], features.vector)


def test_no_file_is_read_in_full_twice_by_one_run(data, tmp_path, extract, monkeypatch):
    """Of an interrupted run's parts and of published files, all of whose time stamps are old."""
    features, read, digest = tmp_path / "features", [], store.files._digest
    extract(data, features)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "publish", lambda *_: [])
        write(data, [0] * (ROWS + 1), split="dev")
        Image.new("RGB", (8, 8), (1, 2, 3)).save(data / f"img/{ROWS}.png")
        extract(data, features)
    monkeypatch.setattr(store.files, "SETTLED", -1e9)
    monkeypatch.setattr(store.files, "_digest", lambda file, rest: (read.append(file.name), digest(file, rest))[1])
    assert extract(data, features) == (0, 0, 0)
    before = [name for name in read if not name.endswith(".tmp")]  # what is written is sealed aside
    assert len(before) == len(set(before)) == 4  # two parts, and the two of train


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_happens_to_a_file_it_is_refused_or_read(tmp_path_factory, data):
    """Bytes flipped, cut off, put in or doubled, of files as old and new versions seal them, whole or in shards."""
    folder = tmp_path_factory.mktemp("mutated")
    path = folder / "text-encoder/train.h5"
    store.publish(path, make(list("abcde")), data.draw(st.sampled_from([2, 9])))
    victim = data.draw(st.sampled_from(sorted(folder.rglob("*.h5"))))
    if data.draw(st.booleans()):
        as_of_old(victim)
    whole = bytearray(victim.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(0, len(whole) - 1)))
        change = data.draw(st.sampled_from(["flip", "cut", "insert", "double"]))
        if change == "flip":
            whole[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
        elif change == "cut":
            del whole[place:]
        else:
            whole[place:place] = whole[:place] if change == "double" else data.draw(st.binary(max_size=9))
    victim.write_bytes(whole)
    faulthandler.dump_traceback_later(60, exit=True)  # a hang is in C, where no Python signal ends it
    try:
        for ask in (store.read, store.read_rows, store.verify, lambda path: store.encoders(path.parent.parent)):
            with suppress(store.StoreError):
                ask(path)
        Held.scan(Folder(path.parent, "text", {}, {}))
        with suppress(Failed):
            inspect.main([str(folder)])
        store.holds(path, make(list("abcde")))
        store.publish(path, make(list("abcde")), 2)
        store.verify(path)
    finally:
        faulthandler.cancel_dump_traceback_later()
