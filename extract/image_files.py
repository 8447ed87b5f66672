"""Where the images lie that a manifest names: beside it, here or elsewhere."""

import errno
import os
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from extract.contents import Source
from extract.fields import shown
from extract.places import Place, Remote


class Images(Protocol):
    def find(self, name: str) -> Source: ...  # raises ValueError, whose text says what is wrong with it


class Here:
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


class Elsewhere:
    """Images in a folder elsewhere. Each folder is listed once, instead of asking for every image."""

    def __init__(self, data: Remote, check: bool) -> None:
        self.data, self.check = data, check
        self.names = cache(lambda folder: frozenset((data / folder).names()))
        self.beside = cache(data.children)

    def find(self, name: str) -> Remote:
        parts = PurePosixPath(name.lstrip("/")).parts
        if ".." in parts:
            raise ValueError(f"{name} leaves the data folder")
        if self.check:
            there = "/".join(parts[1:]) in self.names(parts[0]) if parts[1:] else parts[0] in self.beside()
            if not there:
                raise ValueError(f"{name} is missing")
        return self.data / "/".join(parts)


def images(data: Place, check: bool) -> Images:
    return Elsewhere(data, check) if isinstance(data, Remote) else Here(data, check)
