"""Files and folders that are whole or not there, and where the cache lies."""

import os
from pathlib import Path

import pytest

from extract import files
from extract.errors import Refused
from extract.files import building, cache_root, replacing, write_text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MEMEFUSE_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, Path("/own")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/memefuse")),
        ({}, Path("~/.cache/memefuse").expanduser()),
    ],
)
def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: Path) -> None:
    for variable in ("MEMEFUSE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert cache_root() == expected


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "new" / "comparison.md"
    write_text(path, "old ±")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old ±"
    assert [each.name for each in path.parent.iterdir()] == ["comparison.md"]


def test_what_raises_while_it_is_written_leaves_nothing(tmp_path):
    def interrupted():
        with replacing(tmp_path / "train.h5") as aside:
            aside.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_it_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((tmp_path / "a").exists()))
    write_text(tmp_path / "a", "new")
    assert synced == [False]
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_is_whole_and_replaces_the_old_one(tmp_path):
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "stale").touch()

    def interrupted():
        with building(tmp_path / "encoder") as fresh:
            (fresh / "half").touch()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert os.listdir(tmp_path / "encoder") == ["stale"]
    with building(tmp_path / "encoder") as fresh:
        (fresh / "new").touch()
    assert os.listdir(tmp_path) == ["encoder"]
    assert os.listdir(tmp_path / "encoder") == ["new"]


def test_what_a_killed_process_left_goes_a_day_later(tmp_path):
    old, young = (tmp_path / f"{files.UNFINISHED}{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "fresh").mkdir(parents=True)
    os.utime(old, (0, 0))
    with building(tmp_path / "encoder"):
        pass
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(Refused, match=r"^cannot write .*encoder: .*\.\nSet MEMEFUSE_CACHE to a folder with room\.$"),
        building(tmp_path / "file" / "encoder"),
    ):
        pass
