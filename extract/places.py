"""Where files lie: on this machine (`Path`), or elsewhere (`Remote`); and where an image's bytes come from.

Dataset, plan and engines know images by `Source` alone, so that bytes are read when they are needed and never before.
"""

import hashlib
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from extract.errors import Failed, Refused
from extract.machine import within
from extract.remote import Remote

PATIENCE = 20.0  # seconds for a first answer

Place = Path | Remote


def place(text: str) -> Place:
    """A command line's argument: a path, or a URL. file:// is a path."""
    protocol, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    return Path(f"/{rest.lstrip('/')}") if protocol in ("file", "local") else Remote(f"{protocol}://{rest.strip('/')}")


def glob(folder: Place, pattern: str) -> list[Place]:
    """What matches, name by name, in order."""
    matching: list[Place] = [*folder.glob(pattern)]
    return sorted(matching, key=str)


def local(path: Place) -> Path:
    """The file on this machine. Raises FileNotFoundError, StorageUnreachable."""
    return path.fetched() if isinstance(path, Remote) else path


def name(folder: Place) -> str:
    """What a person calls it, also when it is given as "."."""
    return folder.resolve().name


def seen_from(folder: Place, other: str) -> str:
    """What a file in `folder` says of another one's full name: its way there, which tells no more of this machine than
    both share, and holds where both move. The full name where one lies elsewhere, or they share but the root."""
    if not other or "://" in other or isinstance(folder, Remote):
        return other
    here = folder.resolve()
    try:
        shared = Path(os.path.commonpath([here, other]))
    except ValueError:  # another drive
        return other
    return other if shared == shared.parent else Path(os.path.relpath(other, here)).as_posix()


def in_full(folder: Place, said: str) -> str:
    """The inverse of `seen_from`; older versions said full names, which stay."""
    if not said or "://" in said or isinstance(folder, Remote):
        return said
    return os.path.normpath(folder.resolve() / said)


def modified(path: Place) -> float:
    """When a file was written, in seconds since 1970."""
    return path.modified() if isinstance(path, Remote) else path.stat().st_mtime


def refuse_unreachable(path: Place) -> None:
    """Raise Refused for a place elsewhere that does not answer, before any work."""
    try:
        if isinstance(path, Remote) and not within(PATIENCE, path.is_dir):
            raise Refused(f"{path}: no answer within {PATIENCE:.0f} s; check the address, and AWS_ENDPOINT_URL")
    except Failed as error:
        raise Refused(str(error)) from None


@runtime_checkable
class Source(Protocol):
    """An image's bytes: a `Path`, a `Remote`, or a cell of a Parquet file.

    Hashable, and small enough to be sent to another process.
    """

    @property
    def name(self) -> str: ...  # of the file, without its folders

    @property
    def suffix(self) -> str: ...  # of the file's name, with its dot; empty where there is no file

    def read_bytes(self) -> bytes: ...  # raises OSError, or Failed when the place is out of reach

    def __hash__(self) -> int: ...


def digest(source: Source) -> str:
    """sha256 of its bytes, in hex. Raises as `Source.read_bytes`."""
    if isinstance(source, Path):
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(source.read_bytes()).hexdigest()


def size(source: Source) -> int:
    """Of its bytes, how many. Raises as `Source.read_bytes`."""
    if isinstance(source, Path):
        return source.stat().st_size
    return source.size() if isinstance(source, Remote) else len(source.read_bytes())


def readers(source: Source | str | bytes, cores: int) -> int:
    """Threads that keep `cores` busy with decoding: one each for files here; elsewhere most of a thread's time is
    spent waiting for an answer."""
    return 16 * cores if isinstance(source, Remote) else cores
