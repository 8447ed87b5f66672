"""Where an image's bytes come from: a file here (`Path`), one elsewhere (`places.Remote`), a cell of a Parquet file.

Dataset, plan and engines know images by this seam alone, so that bytes are read when they are needed and never before.
"""

import hashlib
from pathlib import Path
from typing import Protocol, runtime_checkable

from extract.places import Remote


@runtime_checkable
class Source(Protocol):
    """An image's bytes, wherever they lie. Hashable, and small enough to be sent to another process."""

    @property
    def name(self) -> str: ...  # of the file, without its folders

    @property
    def suffix(self) -> str: ...  # of the file's name, with its dot; empty where there is no file

    def read_bytes(self) -> bytes: ...  # raises OSError, or Failed when the place is out of reach

    def __hash__(self) -> int: ...


def digest(source: Source) -> str:
    """sha256 of the bytes, in hex."""
    if isinstance(source, Path):
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(source.read_bytes()).hexdigest()


def size(source: Source) -> int:
    """In bytes."""
    if isinstance(source, Path):
        return source.stat().st_size
    return source.size() if isinstance(source, Remote) else len(source.read_bytes())


def readers(source: Source | str | bytes, cores: int) -> int:
    """Threads that keep `cores` busy with decoding: one each for files here; elsewhere most of a thread's time is
    spent waiting for an answer."""
    return 16 * cores if isinstance(source, Remote) else cores
