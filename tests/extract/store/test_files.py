"""HDF5 files are whole or not there, and every damage is found."""

import errno
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from extraction_steps import check_published, encode_texts, folder_of, text_split
from hypothesis import given, settings
from hypothesis import strategies as st
from made_features import as_of_old, make

from extract import store
from extract.files import replacing
from extract.publish import publish
from extract.store import files


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


@given(st.permutations(range(6)), st.integers(1, 6))
def test_order_and_size_of_blocks_never_change_the_file(tmp_path_factory, order, size):
    folder = tmp_path_factory.mktemp("blocks")
    features = make([str(i) for i in range(6)])
    store.publish(folder / "whole.h5", features)
    blocks = [np.array(order[start : start + size]) for start in range(0, 6, size)]
    store.write(folder / "blocks.h5", features, [(rows, features.vector[rows]) for rows in blocks])
    assert (folder / "whole.h5").read_bytes() == (folder / "blocks.h5").read_bytes()


def test_vectors_are_read_some_at_a_time_whatever_their_length(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 3 * 8 * 4)  # bytes of three vectors
    folder = folder_of(tmp_path)
    split = text_split("train", [(number, "x" * number, 0) for number in range(10)])
    encode_texts(folder, [split], rows=10)
    publish([folder], [split], {}, skip=False)
    store.verify(folder.published("train"))
    check_published(folder, split)
    assert [(start, len(vectors)) for start, vectors in store.chunks(folder.published("train"))] == [
        (0, 3), (3, 3), (6, 3), (9, 1),
    ]  # fmt: skip
