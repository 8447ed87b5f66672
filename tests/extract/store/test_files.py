"""HDF5 files are whole or not there, every damage is found, and joins go by id."""

import errno
import faulthandler
import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_features import make

from extract import inspect, store
from extract.errors import Failed, Refused
from extract.files import replacing
from extract.parts import Folder, Held

names = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), min_size=1, unique=True)


@settings(max_examples=25)
@given(names, st.integers(1, 5))
def test_reads_back_what_was_published(tmp_path_factory, ids, dim):
    path = tmp_path_factory.mktemp("store") / "train.h5"
    features = make(ids, dim=dim)
    store.publish(path, features)
    store.verify(path)
    read = store.read(path)
    for name in ("ids", "label", "content", "tokens", "vector"):
        np.testing.assert_array_equal(getattr(read, name), getattr(features, name))
    for name in ("identity", "split", "dropped"):
        assert getattr(read, name) == getattr(features, name)


def test_equal_features_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        store.publish(tmp_path / f"{name}.h5", make(["a", "b"]))
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@given(data=st.data())
@settings(max_examples=40)
def test_a_flipped_byte_is_found_wherever_it_is(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "train.h5"
    store.publish(path, make(["a", "b", "c"]))
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with pytest.raises(store.StoreError, match=r"train\.h5"):
        store.verify(path)


@given(keep=st.floats(0, 0.999))
@settings(max_examples=25)
def test_a_file_cut_short_is_refused(tmp_path_factory, keep):
    path = tmp_path_factory.mktemp("cut") / "train.h5"
    store.publish(path, make(["a", "b", "c"]))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(store.StoreError, match=r"train\.h5: .*run extract again"):
        store.read(path)


def test_missing_file_and_other_schema_are_named(tmp_path, monkeypatch):
    with pytest.raises(store.StoreError, match="no such file; run extract"):
        store.read(tmp_path / "none.h5")
    with monkeypatch.context() as patch:
        patch.setattr(store.files, "SCHEMA", 99)
        store.publish(tmp_path / "train.h5", make(["a"]))
    newer = "schema 99, this version reads schema 1; update memefuse, or name another folder with --features$"
    with pytest.raises(store.OtherSchema, match=newer):
        store.read(tmp_path / "train.h5")


def as_of_old(path):
    """The same file as earlier versions sealed it."""
    whole = path.read_bytes()
    digest = hashlib.sha256(whole[store.files.USER_BLOCK :]).hexdigest()
    head = b"memefuse sha256 " + digest.encode() + b"\n"
    path.write_bytes(head.ljust(store.files.USER_BLOCK, b"\0") + whole[store.files.USER_BLOCK :])


@pytest.mark.parametrize("old", [False, True])
def test_a_damaged_file_is_never_given_to_hdf5(tmp_path, monkeypatch, old):
    """Whose library can look for ever for a string that a flipped byte points at."""
    path = tmp_path / "train.h5"
    features = make(["a", "b", "c"])
    store.publish(path, features)
    if old:
        as_of_old(path)
        store.verify(path)
        np.testing.assert_array_equal(store.read(path).vector, features.vector)
    offset, whole = store.files.open_file(path).offset, path.read_bytes()
    monkeypatch.setattr(store.files.h5py, "File", lambda *_: pytest.fail("opened"))
    unread = {*range(offset, offset + features.vector.nbytes), *(range(16, 81) if not old else ())}  # and their digest
    for place in {*range(0, len(whole), 97), len(whole) - 1} - unread:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(store.StoreError, match="its bytes do not match its sha256; delete it and run extract"):
            store.read(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(store.StoreError, match="its bytes do not match its sha256"):
        store.read(path)


def test_vectors_of_neighbouring_rows_are_written_in_one_call(tmp_path, monkeypatch):
    calls, whole = [], os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: (calls.append(1), whole(file, data, offset))[1])
    features = make([str(number) for number in range(100)])
    order = np.r_[50:100, 0:20, 49:19:-1]
    store.write(tmp_path / "train.h5", features, [(order[:70], features.vector[order[:70]])] * 2 + [
        (order[70:], features.vector[order[70:]])
    ])  # fmt: skip
    assert len(calls) == 2 + 2 + 1
    np.testing.assert_array_equal(store.read(tmp_path / "train.h5").vector, features.vector)


def test_a_file_is_read_in_full_once_by_one_process_until_it_changes(tmp_path, monkeypatch):
    path, read, digest = tmp_path / "train.h5", [], store.files._digest
    store.publish(path, make(["a", "b"]))
    monkeypatch.setattr(store.files, "_digest", lambda *file: (read.append(1), digest(*file))[1])
    monkeypatch.setattr(store.files, "SETTLED", -1e9)
    for _ in range(3):
        store.check_seal(path)
    assert len(read) == 1
    store.verify(path, fresh=True)
    assert len(read) == 2
    os.utime(path, ns=(1, 1))
    store.check_seal(path)
    assert len(read) == 3
    with pytest.raises(store.StoreError, match="do not match"):
        store.check_seal(path, "0" * 64)


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


def test_rows_never_written_are_named_and_nothing_is_published(tmp_path):
    path = tmp_path / "train.h5"
    features = make(["a", "b", "c"])
    with (
        pytest.raises(store.StoreIncomplete, match=r"^2 of 3 rows never written; first: a, c$"),
        replacing(path) as aside,
    ):
        store.write(aside, features, [(np.array([1]), features.vector[:1])])
    assert os.listdir(tmp_path) == []


def test_values_that_are_not_finite_are_named_and_the_old_file_stays(tmp_path):
    path = tmp_path / "train.h5"
    store.publish(path, make(["a", "b"]))
    before = path.read_bytes()
    vector = np.zeros((2, 4), np.float32)
    vector[1, 2] = np.nan
    with pytest.raises(store.StoreIncomplete, match=r"^1 vectors of train are not finite; first: b$"):
        store.publish(path, make(["a", "b"], vector=vector))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["train.h5"]


def test_a_row_that_a_full_disk_cuts_short_is_never_sealed(tmp_path, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: whole(file, data[:-1], offset))
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.ENOSPC))):
        store.publish(tmp_path / "train.h5", make(["a", "b"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shard_rows", [2, 9])
def test_vectors_of_another_width_are_refused_and_nothing_is_published(tmp_path, shard_rows):
    """Else they would lie over each other's rows, sealed."""
    path = tmp_path / "train.h5"
    narrow, wide = make(["a", "b", "c"]), make(["a", "b", "c"], dim=8).vector
    with pytest.raises(
        store.StoreError,
        match=r"^train: text-encoder gave vectors of 8 numbers, its file takes 4; nothing was published$",
    ):
        store.publish(path, replace(narrow, vector=wide), shard_rows)
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


def test_an_encoders_identity_goes_through_json_and_is_read_from_older_files():
    encoder = make(["a"]).identity
    told = json.loads(json.dumps(encoder.to_json()))
    assert store.EncoderIdentity.from_json("text", told) == encoder
    del told["kind"]
    assert store.EncoderIdentity.from_json("text", told) == encoder
    assert store.EncoderIdentity.from_json("image", told | {"of another version": 1}).kind == "image"


@given(st.permutations(range(6)), st.integers(1, 6))
def test_order_and_size_of_blocks_never_change_the_file(tmp_path_factory, order, size):
    folder = tmp_path_factory.mktemp("blocks")
    features = make([str(i) for i in range(6)])
    store.publish(folder / "whole.h5", features)
    blocks = [np.array(order[start : start + size]) for start in range(0, 6, size)]
    store.write(folder / "blocks.h5", features, [(rows, features.vector[rows]) for rows in blocks])
    assert (folder / "whole.h5").read_bytes() == (folder / "blocks.h5").read_bytes()


@given(names, st.data())
def test_join_goes_by_id(ids, data):
    text_ids = data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))]
    image_ids = data.draw(st.permutations(ids))
    number = {name: float(i) for i, name in enumerate(ids)}
    text = make(text_ids, vector=np.array([[number[name]] for name in text_ids], np.float32).reshape(-1, 1))
    image = make(image_ids, "image", vector=np.array([[number[name]] for name in image_ids], np.float32))
    pairs = store.join(text, image)
    np.testing.assert_array_equal(pairs.text_vec, pairs.image_vec)
    assert pairs.ids.tolist() == list(text_ids)
    assert pairs.without_text == sorted(set(ids) - set(text_ids))
    assert pairs.without_image == []


def test_join_refuses_different_labels_and_double_ids():
    text, image = make(["a", "b"], label=[0, 1]), make(["b", "a"], "image", label=[0, 0])
    with pytest.raises(
        store.StoreError, match=r"(?s)1 of 2 memes of train have different labels.*b  text-encoder: 1, image-encoder: 0"
    ):
        store.join(text, image)
    with pytest.raises(store.StoreError, match="text-encoder/train: 1 ids occur twice; first: a"):
        store.join(make(["a", "a"]), image)


@pytest.mark.parametrize(
    ("splits", "held"),
    [
        ({"train", "dev_seen"}, {"train", "dev_seen"}),
        ({"train", "dev", "dev_seen"}, {"train", "dev", "dev_seen"}),
        ({"train"}, {"train", "dev", "dev_seen"}),  # what is said of neither decides nothing
    ],
)
def test_a_dev_file_of_a_manifest_that_has_gone_is_not_taken(tmp_path, splits, held):
    for split in ("train", "dev", "dev_seen"):
        store.publish(tmp_path / f"bert/{split}.h5", make(["a"], split=split))
    identity = store.DatasetIdentity("memes", dict.fromkeys(splits, "0"))
    (tmp_path / "bert" / store.DATASET).write_text(identity.to_json())
    assert store.encoders(tmp_path)["bert"].splits.keys() == held


def test_encoders_lists_what_a_folder_holds(tmp_path):
    store.publish(tmp_path / "bert/train.h5", make(["a"]))
    store.publish(tmp_path / "bert/dev_seen.h5", make(["b"], split="dev_seen"))
    store.publish(tmp_path / "resnet/train.h5", make(["a"], "image"))
    found = store.encoders(tmp_path)
    assert {name: (folder.kind, sorted(folder.splits)) for name, folder in found.items()} == {
        "bert": ("text", ["dev_seen", "train"]),
        "resnet": ("image", ["train"]),
    }
    with pytest.raises(Refused, match="no features folder"):
        store.encoders(tmp_path / "none")
    for split in ("dev_seen", "train"):  # which kind of vectors they are the other file tells
        (tmp_path / f"bert/{split}.h5").write_bytes(b"damaged")
        if split == "dev_seen":
            assert store.encoders(tmp_path)["bert"] == found["bert"]
    with pytest.raises(store.StoreError, match=r"bert/train\.h5: its bytes do not match"):
        store.encoders(tmp_path)


def test_a_folder_with_vectors_of_two_datasets_is_refused(tmp_path):
    store.publish(tmp_path / "bert/train.h5", make(["a"]))
    store.publish(tmp_path / "resnet/train.h5", make(["a"], "image"))
    mine = store.DatasetIdentity("/data/mine", {"train": "1", "dev": "2"})
    (tmp_path / "bert" / store.DATASET).write_text(mine.to_json())
    for same in (replace(mine, splits={}), replace(mine, data="/moved", splits={"dev": "2", "train": "new"})):
        (tmp_path / "resnet" / store.DATASET).write_text(same.to_json())
        assert set(store.encoders(tmp_path)) == {"bert", "resnet"}
    (tmp_path / "resnet" / store.DATASET).write_text(replace(mine, data="/other", splits={"train": "2"}).to_json())
    with pytest.raises(
        Refused, match=r"holds vectors of two datasets, /data/mine \(bert\) and /other \(resnet\): give one of them an"
    ):
        store.encoders(tmp_path)
