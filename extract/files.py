"""Files and folders that are written whole or not at all, and where memefuse's cache lies."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from extract.errors import Refused

UNFINISHED = ".unfinished-"  # how a folder's name begins while it is filled
DAY = 86_400  # seconds after which what is unfinished is a killed process's


class Uploads(Protocol):
    """A file elsewhere, as `places.Remote` is."""

    def uploading(self) -> AbstractContextManager[Path]: ...


def cache_root() -> Path:
    """$MEMEFUSE_CACHE, else memefuse/ in the user's cache folder."""
    if own := os.environ.get("MEMEFUSE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "memefuse"


def partial(path: Path) -> Path:
    """The file beside `path` that `replacing` writes: hidden, and this process's alone."""
    # on a shared folder, two machines' processes can have one number
    return path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp")


@contextmanager
def replacing(path: Path | Uploads) -> Iterator[Path]:
    """Yield a file on this machine to write; on success sync it and rename it over `path`, else remove it.

    A reader sees the old file or the new one. Elsewhere there is no rename: the file is uploaded whole under its final
    name, which is one step, too. Raises OSError when the disk refuses.
    """
    if not isinstance(path, Path):
        with path.uploading() as aside:
            yield aside
        return
    aside = partial(path)
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        with suppress(OSError):
            aside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file by `replacing`, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` at the end: a killed process never leaves half of one.

    What its parent holds goes with it; a folder that is there already is replaced. Raises Refused where nothing can be
    written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent.glob(f"{UNFINISHED}*"))
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=target.parent) as aside:
            fresh = Path(aside, "fresh")
            fresh.mkdir()
            yield fresh
            with suppress(FileNotFoundError):
                target.rename(Path(aside, "stale"))
            try:
                fresh.rename(target)
            except OSError:
                # another process has just put the same files there
                if not target.is_dir():
                    raise
    except OSError as error:
        raise Refused(f"cannot write {target}: {error}.\nSet MEMEFUSE_CACHE to a folder with room.") from None


def remove_abandoned(unfinished: Iterable[Path]) -> None:
    """Remove the files and folders among these that killed processes left, once none can be at them any more."""
    for left in unfinished:
        with suppress(OSError):  # its writer has just finished
            if time.time() - left.stat().st_mtime > DAY:
                left.unlink() if left.is_file() else shutil.rmtree(left, ignore_errors=True)
