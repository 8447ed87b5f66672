"""A sharded split is one split: the same rows and vectors, replaced in one step, and damage is found in any file."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from extraction_steps import check_published, encode_texts, folder_of, text_split
from hypothesis import given, settings
from hypothesis import strategies as st
from made_features import distinct_ids, make

from extract import inspect, store
from extract.errors import Failed
from extract.parts import Held
from extract.publish import publish
from extract.store.files import Shard

TESTS = Path(__file__).parent.parent.parent


def shard_files(path):
    return sorted(path.with_suffix("").glob("*.h5"))


def rows_of(count, changed=()):
    return [(number, f"text {number}{'!' * (number in changed)}", number % 2) for number in range(count)]


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 15), st.integers(1, 16))
def test_shards_read_as_the_one_file_they_stand_for(tmp_path_factory, data, count, shard_rows):
    folder = tmp_path_factory.mktemp("shards")
    features = make([f"{number}é" for number in range(count)])
    store.publish(folder / "one.h5", features)
    store.publish(folder / "train.h5", features, shard_rows)
    store.verify(folder / "train.h5")
    one, read = store.read(folder / "one.h5"), store.read(folder / "train.h5")
    shards = -(-count // shard_rows) if count > shard_rows else 0
    assert len(shard_files(folder / "train.h5")) == shards
    names = [path.name.rpartition("-")[0] for path in shard_files(folder / "train.h5")]
    assert names == [f"{number:05d}-of-{shards:05d}" for number in range(shards)]
    for name in ("ids", "label", "content", "tokens"):
        np.testing.assert_array_equal(getattr(read, name), getattr(one, name))
    for name in ("identity", "split", "dropped"):
        assert getattr(read, name) == getattr(one, name)
    assert (read.vector.shape, read.vector.dtype, len(read.vector)) == (one.vector.shape, one.vector.dtype, count)
    numbers = st.integers(-count, count - 1)
    several = st.lists(numbers, max_size=9).map(lambda rows: np.array(rows, np.int64))
    key = data.draw(several | st.slices(count) | numbers)
    np.testing.assert_array_equal(read.vector[key], one.vector[key])
    np.testing.assert_array_equal(np.asarray(read.vector), one.vector)
    with h5py.File(folder / "train.h5") as file:  # any HDF5 program sees one dataset
        np.testing.assert_array_equal(file["vector"][:], one.vector)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 9), st.sets(st.integers(0, 29), max_size=3))
def test_extraction_into_shards_encodes_only_what_changed(tmp_path_factory, count, before, after, changed):
    folder = folder_of(tmp_path_factory.mktemp("changed"))
    first, second = text_split("train", rows_of(count)), text_split("train", rows_of(count, changed))
    encode_texts(folder, [first])
    publish([folder], [first], {}, False, before)
    assert sorted(encode_texts(folder, [second])) == sorted(f"text {n}!" for n in changed if n < count)
    publish([folder], [second], {}, False, after)
    check_published(folder, second)
    path = folder.published("train")
    store.verify(path)
    assert len(shard_files(path)) == (-(-count // after) if count > after else 0)
    assert path.with_suffix("").exists() == (count > after)
    encode_texts(folder, [second])
    assert store.holds(path, store.read_rows(path), after)


def test_changing_the_size_encodes_nothing_and_unchanged_shards_are_not_written_again(tmp_path, capsys):
    folder, split = folder_of(tmp_path), text_split("train", rows_of(10))
    encode_texts(folder, [split])
    publish([folder], [split], {}, False, 4)
    path = folder.published("train")
    assert f"{path}: 10 memes in 3 shards, written" in capsys.readouterr().err
    before = {shard.name: shard.stat().st_ino for shard in shard_files(path)}
    longer = text_split("train", rows_of(11, changed={5}))
    assert sorted(encode_texts(folder, [longer])) == ["text 10", "text 5!"]
    publish([folder], [longer], {}, False, 4)
    after = {shard.name: shard.stat().st_ino for shard in shard_files(path)}
    assert len(before.keys() & after.keys()) == 1  # the first; the second has a new text, the third a new row
    assert all(after[name] == before[name] for name in before.keys() & after.keys())
    for size in (5, 100, 4):
        assert encode_texts(folder, [longer]) == []
        publish([folder], [longer], {}, False, size)
        check_published(folder, longer)
    publish([folder], [longer], {}, False, 4)
    assert capsys.readouterr().err.endswith("11 memes, up to date\n")


def growing(folder):
    """A split published in two shards, then in three: the number of shards is part of their names."""
    for count in (8, 12):
        split = text_split("train", rows_of(count))
        encode_texts(folder, [split])
        publish([folder], [split], {}, False, 4)
        check_published(folder, split)
    store.verify(folder.published("train"))
    return shard_files(folder.published("train"))


def test_where_a_file_can_have_one_name_only_unchanged_shards_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # as exFAT does

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert len(growing(folder_of(tmp_path))) == 3


def test_a_shard_keeps_its_bytes_when_others_are_added(tmp_path):
    names = [path.name[:14] for path in growing(folder_of(tmp_path))]
    assert names == [f"0000{n}-of-00003" for n in range(3)]


def test_what_was_read_stays_whole_when_a_later_run_replaces_it(tmp_path):
    path = tmp_path / "train.h5"
    old = make([str(number) for number in range(9)])
    store.publish(path, old, 2)
    read = store.read(path)
    store.publish(path, make([str(number) for number in range(9)], vector=old.vector * 2, content=old.content[::-1]), 3)
    np.testing.assert_array_equal(np.asarray(read.vector), old.vector)
    np.testing.assert_array_equal(np.asarray(store.read(path).vector), old.vector * 2)


def test_a_reader_between_index_and_shards_reads_again(tmp_path, monkeypatch):
    path = tmp_path / "train.h5"
    store.publish(path, make(list("abcdef")), 2)
    opened = store.files.open_file
    late = iter([lambda: store.publish(path, make(list("ghijkl")), 3)])

    def overtaken(asked):
        found = opened(asked)
        for publish_now in late:
            monkeypatch.setattr(store.files, "open_file", opened)
            publish_now()
        return found

    monkeypatch.setattr(store.files, "open_file", overtaken)
    assert store.read(path).ids.tolist() == list("ghijkl")


@pytest.mark.parametrize("after", ["ghijkl", "gh"])
def test_a_reader_never_has_one_file_s_rows_with_another_s_vectors(tmp_path, monkeypatch, after):
    path = tmp_path / "train.h5"
    store.publish(path, make(list("abcdef")))
    new, opened = make(list(after)), store.files.open_file

    def overtaken(asked):
        found = opened(asked)
        monkeypatch.setattr(store.files, "open_file", opened)
        store.publish(path, new)
        return found

    monkeypatch.setattr(store.files, "open_file", overtaken)
    read = store.read(path)
    assert read.ids.tolist() == list(after)
    np.testing.assert_array_equal(np.asarray(read.vector), new.vector)


def test_a_file_that_is_replaced_all_the_time_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "train.h5"
    store.publish(path, make(list("abc")))
    opened = store.files.open_file

    def overtaken(asked):
        found = opened(asked)
        store.publish(path, make(list("abc")))
        return found

    monkeypatch.setattr(store.files, "open_file", overtaken)
    with pytest.raises(store.StoreError, match=r"train\.h5 was replaced 20 times while it was read; run again when"):
        store.read(path)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_flipped_byte_is_found_in_the_index_and_in_every_shard(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flip") / "train.h5"
    store.publish(path, make(list("abcde")), 2)
    victim = data.draw(st.sampled_from([path, *shard_files(path)]))
    whole = bytearray(victim.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    victim.write_bytes(whole)
    with pytest.raises(store.StoreError, match=victim.name):
        store.verify(path)


def test_a_shard_of_another_set_is_found_though_its_own_seal_is_sound(tmp_path):
    for name, ids in (("train", "abcd"), ("dev", "wxyz")):
        store.publish(tmp_path / f"{name}.h5", make(list(ids)), 2)
    mine, other = shard_files(tmp_path / "train.h5")[1], shard_files(tmp_path / "dev.h5")[1]
    mine.write_bytes(other.read_bytes())
    with pytest.raises(
        store.StoreError, match=rf"train\.h5: 1 of 2 shards are damaged:\n  .*{mine.name}: its bytes do"
    ):
        store.verify(tmp_path / "train.h5")


def test_a_lost_shard_is_named_and_costs_only_its_own_rows(tmp_path, capsys):
    folder, split = folder_of(tmp_path), text_split("train", rows_of(10))
    encode_texts(folder, [split])
    publish([folder], [split], {}, False, 4)
    path = folder.published("train")
    lost = shard_files(path)[1]
    lost.unlink()
    with pytest.raises(store.StoreError, match=rf"^{lost}: no such file; delete it and run extract again$"):
        store.read(path)
    with pytest.raises(
        Failed, match=rf"1 of 1 files are damaged:\n.*1 of 3 shards are damaged:\n  {lost}: no such file"
    ):
        inspect.main([str(tmp_path), "--verify"])
    assert len(Held.scan(folder).where) == 6
    assert sorted(encode_texts(folder, [split])) == ["text 4", "text 5", "text 6", "text 7"]
    publish([folder], [split], {}, False, 4)
    check_published(folder, split)
    inspect.main([str(tmp_path), "--verify"])
    assert capsys.readouterr().out.endswith("1 files verified\n")


def test_a_shard_cut_short_is_refused(tmp_path):
    store.publish(tmp_path / "train.h5", make(list("abcdef")), 2)
    shard = shard_files(tmp_path / "train.h5")[2]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(
        store.StoreError,
        match=rf"^{shard}: cannot be read \([\d,]+ of [\d,]+ bytes\); delete it and run extract again$",
    ):
        store.read(tmp_path / "train.h5")


def test_rows_of_another_number_than_the_index_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store.splits, "write_shards", lambda *_: [Shard("train/x.h5", 3, 0, "", 0)])
    store.publish(tmp_path / "train.h5", make(list("abcdef")), 2)
    with pytest.raises(store.StoreError, match=r"its shards have other rows than its index"):
        store.read(tmp_path / "train.h5")


def test_many_shards_are_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(store.splits, "AT_ONCE", 3)
    features = make([str(number) for number in range(22)])
    store.publish(tmp_path / "train.h5", features, 2)
    store.verify(tmp_path / "train.h5")
    np.testing.assert_array_equal(np.asarray(store.read(tmp_path / "train.h5").vector), features.vector)


WRITER = """
import sys
from pathlib import Path
from made_features import make
from extract import store
import numpy as np
ids = [str(number) for number in range(400)]
print("ready", flush=True)
for turn in range(1000):
    vector = np.full((400, 64), turn, np.float32)
    content = np.array([f"{turn:032x}{row:032x}" for row in range(400)], "S64")
    store.publish(Path(sys.argv[1]), make(ids, vector=vector, content=content), (100, 150, 1000, 100)[turn % 4])
"""


@pytest.mark.parametrize("seed", range(2))
def test_sigkill_while_publishing_leaves_the_old_set_or_the_new(tmp_path, seed):
    """A writer goes from one set of shards, and from shards to one file and back, without a pause."""
    path = folder_of(tmp_path).published("train")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS / "helpers")])}
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=env) as process:
        process.stdout.readline()
        deadline = time.monotonic() + 120
        turns = set()
        while len(turns) < 2 and time.monotonic() < deadline:  # a reader meanwhile sees whole sets only
            if path.exists():
                turns.add(turn_of(path))
        time.sleep(random.Random(seed).uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
    assert len(turns) >= 2
    left = turn_of(path)
    store.verify(path)
    assert left >= max(turns)
    with folder_of(tmp_path).locked():
        pass
    store.publish(path, make(["a"], dim=64), 1)  # and what was left lying about goes
    assert [each.name for each in path.parent.iterdir() if each.name != ".lock"] == ["train.h5"]


def turn_of(path):
    read = store.read(path)
    vector = np.asarray(read.vector)
    assert (vector == vector[0, 0]).all()
    assert {int(content[:32], 16) for content in read.content.tolist()} == {int(vector[0, 0])}
    return int(vector[0, 0])


@settings(max_examples=25)
@given(distinct_ids, st.integers(1, 5))
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
