"""Copies on this machine of files that lie elsewhere: where they are kept, and made."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extract.files import cache_root

ABANDONED = 86400.0  # seconds without a write after which a half written copy is that of a process that was killed


def folder() -> Path:
    """In memefuse's cache."""
    return cache_root() / "elsewhere"


@contextmanager
def aside() -> Iterator[Path]:
    """Yield a file to write, which is nobody's copy yet; it is gone at the end unless it was renamed."""
    place = folder() / "aside"
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    handle, name = tempfile.mkstemp(suffix=".tmp", dir=place)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sweep(place: Path) -> None:
    for left in place.iterdir():
        try:
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
        except FileNotFoundError:  # its writer has just finished
            continue
