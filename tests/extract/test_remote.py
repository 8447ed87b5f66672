"""A file elsewhere answers like a path; what is read is copied here once for each version, what is written is whole."""

import os
import time

import pytest

from extract import files, places, remote
from extract.errors import Refused
from extract.places import Remote
from extract.remote import StorageUnreachable

pytest_plugins = ["elsewhere"]


def test_files_are_found_as_in_a_folder(away):
    assert (away.exists(), away.is_dir(), away.children(), away.names()) == (False, False, [], [])
    for name in ("a/1.png", "a/2.jpg", "b/c/3.png", ".h/4.png", "5.png"):
        (away / name).write_bytes(name.encode())
    assert away.is_dir()
    assert away.children() == [".h", "5.png", "a", "b"]
    assert away.names() == [".h/4.png", "5.png", "a/1.png", "a/2.jpg", "b/c/3.png"]
    assert [str(path)[len(str(away)) :] for path in places.glob(away, "[!.]*/*.png")] == ["/a/1.png"]
    assert [path.name for path in places.glob(away, "*")] == [".h", "5.png", "a", "b"]
    assert ((away / "a/1.png").size(), (away / "a/1.png").read_bytes()) == (7, b"a/1.png")
    assert abs(places.modified(away / "5.png") - time.time()) < 60


def test_what_is_not_there_is_an_ordinary_error(away):
    for ask in (Remote.read_bytes, Remote.size, Remote.fetched):
        with pytest.raises(FileNotFoundError, match=r"no such file: '.*/none'"):
            ask(away / "none")
    (away / "none").unlink(missing_ok=True)


def test_only_one_creates_a_file(away):
    (away / "lock").create(b"first")
    with pytest.raises(FileExistsError):
        (away / "lock").create(b"second")
    assert (away / "lock").read_bytes() == b"first"


def test_a_file_is_copied_here_once_for_each_version(away, cache, monkeypatch):
    file = away / "train.h5"
    file.write_bytes(b"old")
    first = file.fetched()
    assert (first.read_bytes(), first.suffix) == (b"old", ".h5")
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "_take", None)  # a second copy would be an error
        assert file.fetched() == first
    time.sleep(0.01)
    file.write_bytes(b"new")
    assert file.fetched().read_bytes() == b"new"
    assert not first.exists()
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1
    file.unlink()
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_upload_is_whole_or_not_there(away, cache):
    with pytest.raises(FileNotFoundError), (away / "a.h5").uploading() as aside:
        aside.with_name("no such file").read_bytes()
    assert away.names() == []
    with (away / "a.h5").uploading() as aside:
        aside.write_bytes(b"whole")
    assert (away / "a.h5").read_bytes() == b"whole"
    assert (away / "a.h5").fetched().read_bytes() == b"whole"
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 1


def test_what_killed_writers_left_half_written_is_removed_a_day_later(away, cache):
    with (away / "a.h5").uploading() as aside:
        aside.write_bytes(b"whole")
        dead, alive = aside.with_name("dead.tmp"), aside.with_name("alive.tmp")
        for left in (dead, alive):
            left.write_bytes(b"half")
    yesterday = time.time() - files.DAY - 1
    os.utime(dead, (yesterday, yesterday))
    with (away / "a.h5").uploading() as aside:
        aside.write_bytes(b"whole")
    assert (dead.exists(), alive.exists()) == (False, True)


def test_a_missing_package_and_an_unknown_protocol_are_refused(monkeypatch):
    with pytest.raises(Refused, match=r"^gs://b/x: gs:// needs a package that is not installed \(.*gcsfs"):
        remote.filesystem("gs://b/x")
    with pytest.raises(Refused, match=r"^nope://b/x: no file system is called nope:// \(.*nope"):
        remote.filesystem("nope://b/x")
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(Refused, match=r"s3:// needs fsspec, not installed here. Run: pip install 'memefuse\[cloud\]'$"):
        remote.filesystem("s3://b/x")


def test_a_server_that_is_not_there_is_named(monkeypatch, s3_server):
    monkeypatch.setitem(remote.OPTIONS, "s3", {**remote.OPTIONS["s3"], "endpoint_url": "http://127.0.0.1:9"})
    start = time.monotonic()
    with pytest.raises(
        StorageUnreachable, match=r"^s3://b/x: cannot be reached \(.*127\.0\.0\.1:9.*\); check the address"
    ):
        Remote("s3://b/x").is_dir()
    assert time.monotonic() - start < 20


@pytest.fixture
def told(memory, monkeypatch):
    """What the file system says of a file, to be changed by a test; its own time stamp is left out."""
    more: dict[str, object] = {}
    known = Remote._known

    def without_time(self):
        return {name: value for name, value in known(self).items() if name != "created"} | more

    monkeypatch.setattr(Remote, "_known", without_time)
    return more


def test_without_a_version_nothing_is_taken_from_the_copy(memory, told):
    file = memory / "train.jsonl"
    file.write_bytes(b"old")
    assert file.fetched().read_bytes() == b"old"
    file.write_bytes(b"new")
    assert file.fetched().read_bytes() == b"new"


@pytest.mark.parametrize("name", ["modify", "Last-Modified", "last_modified", "LastModified", "mtime", "etag"])
def test_a_version_is_known_by_any_file_systems_name_for_it(memory, told, name, monkeypatch):
    file = memory / "train.jsonl"
    file.write_bytes(b"old")
    told[name] = "Tue, 24 Nov 2026 21:00:00 GMT"
    first = file.fetched()
    with monkeypatch.context() as patch:
        patch.setattr(Remote, "_take", None)  # a second copy would be an error
        assert file.fetched() == first
    file.write_bytes(b"new")
    told[name] = "Tue, 24 Nov 2026 21:00:01 GMT"
    assert file.fetched().read_bytes() == b"new"
    assert places.modified(file) == 0


def test_a_copy_of_another_length_is_fetched_again(memory):
    (memory / "train.h5").write_bytes(b"whole")
    (memory / "train.h5").fetched().write_bytes(b"who")
    assert (memory / "train.h5").fetched().read_bytes() == b"whole"
