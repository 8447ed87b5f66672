"""A split's manifest in JSON lines, the fields of a row, checked one by one, and where the images lie that it names.

What is wrong with a row is a ValueError whose text is the whole reason.
"""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from extract.places import Place, Remote, Source

Row = dict[str, Any]
FIELDS = ("id", "img", "text", "label")  # what else a row holds is kept as it is
MAX_ID = 256  # characters: a file stores every id at the length of its longest


def read_rows(lines: Iterable[bytes]) -> Iterator[tuple[int, Row | ValueError]]:
    """JSON lines -> rows, each with its number: lines are counted from 1, blank ones are passed over."""
    for number, line in enumerate(lines, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.strip():
            try:
                yield number, _parse(line)
            except ValueError as error:
                yield number, error


def _parse(raw: bytes) -> Row:
    try:
        row = json.loads(raw.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("broken JSON: nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object but {type(row).__name__}")
    return row


def meme_id(row: Row) -> str:
    name = row.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError(f"id is {shown(name)}, expected text or a whole number" if "id" in row else "no id")
    name = without_surrogates(str(name))
    if not name or "\0" in name:
        raise ValueError("id is empty" if not name else "id holds a NUL character")
    if len(name) > MAX_ID:
        raise ValueError(f"id has {len(name):,} characters, more than {MAX_ID}")
    return name


def text(row: Row) -> str:
    value = row.get("text")
    if not isinstance(value, str):
        raise ValueError(f"text is {shown(value)}, expected text (may be empty)" if "text" in row else "no text")
    return without_surrogates(value)


def label(row: Row) -> int | None:
    if "label" not in row:
        return None
    value = row["label"]
    if type(value) is not int or value not in (0, 1):
        raise ValueError(f"label is {shown(value)}, expected 0 or 1 (no label at all if it is unknown)")
    return value


def image_name(row: Row) -> str:
    name = row.get("img")
    if not isinstance(name, str) or not name.strip("/") or "\0" in name:
        raise ValueError(f"img is {shown(name)}, expected a path" if "img" in row else "no img")
    if name != without_surrogates(name):
        raise ValueError(f"img is {shown(name)}, which holds half a surrogate pair")
    return name


def shown(value: object) -> str:
    return json.dumps(value, default=str)[:40]


def without_surrogates(text: str) -> str:
    """Half surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Images(Protocol):
    """The images that a manifest names."""

    check: bool  # whether each must be there

    def find(self, name: str) -> Source: ...  # raises ValueError, whose text says what is wrong with it


class LocalImages:
    """Images in a folder of this machine, or wherever its owner has linked img/ to."""

    def __init__(self, data: Path, check: bool) -> None:
        self.data, self.check = data, check
        self.roots = data.resolve(), (data / "img").resolve()

    def find(self, name: str) -> Path:
        path = self.data / name.lstrip("/")  # "/img/1.png" means the folder's img/1.png
        if self.check:
            try:
                self._check(name, path)
            except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
                reason = error.strerror if isinstance(error, OSError) else error
                raise ValueError(f"{shown(name)} cannot be read: {reason}") from None
        return path

    def _check(self, name: str, path: Path) -> None:
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in self.roots):
            raise ValueError(f"{name} leaves the data folder")
        if not real.is_file():
            raise ValueError(f"{name} is missing")
        if not os.access(real, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class RemoteImages:
    """Images in a folder elsewhere. Each folder is listed once, instead of asking for every image."""

    def __init__(self, data: Remote, check: bool) -> None:
        self.data, self.check = data, check
        self.names = cache(lambda folder: frozenset((data / folder).names()))
        self.beside = cache(data.children)

    def find(self, name: str) -> Remote:
        parts = PurePosixPath(name.lstrip("/")).parts
        if ".." in parts:
            raise ValueError(f"{name} leaves the data folder")
        if not parts:
            raise ValueError(f"{name} is missing")
        if self.check:
            there = "/".join(parts[1:]) in self.names(parts[0]) if parts[1:] else parts[0] in self.beside()
            if not there:
                raise ValueError(f"{name} is missing")
        return self.data / "/".join(parts)


def images_of(data: Place, check: bool) -> Images:
    """Where the images lie that a manifest in `data` names. check: that each is there, too."""
    return RemoteImages(data, check) if isinstance(data, Remote) else LocalImages(data, check)
