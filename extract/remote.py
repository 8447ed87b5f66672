"""A file or folder in another file system, which fsspec reaches (s3://bucket/memes).

A `Remote` answers to the part of `pathlib.Path` that stage 1 uses, so that the same code reads and writes both. What
differs is said here once. An object store has no rename, but a PUT is atomic: a file is written and verified on this
machine, then uploaded whole under its final name (`uploading`). And nothing can be mapped into memory: a file that is
read is copied to the cache folder first, once for each version of it (`fetched`).
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from extract.errors import Failed, Refused, in_a_line, need
from extract.files import cache_root, remove_abandoned

# What file systems call that by which a file's versions differ, the surest first.
VERSION = ("ETag", "etag", "md5Hash", "generation", "LastModified", "Last-Modified", "last_modified", "mtime", "modify",
           "modificationTime", "updated", "created")  # fmt: skip
# S3 gives up on a server that does not answer within seconds; botocore's own limits add up to minutes.
OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 4, "read_timeout": 20, "retries": {"max_attempts": 2}}}
}


class StorageUnreachable(Failed):
    """A place elsewhere that does not answer, or does not let us in."""


@dataclass(frozen=True, order=True)
class Remote:
    """A file or folder elsewhere."""

    url: str  # with its protocol, without a slash at the end

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Remote":
        return Remote(self.url.rpartition("/")[0])

    def with_name(self, name: str) -> "Remote":
        return self.parent / name

    def with_suffix(self, suffix: str) -> "Remote":
        return self.with_name(self.stem + suffix)

    def absolute(self) -> "Remote":
        """Itself: every process finds it so."""
        return self

    resolve = absolute

    def exists(self) -> bool:
        return self._info() is not None

    def is_file(self) -> bool:
        return (self._info() or {}).get("type") == "file"

    def is_dir(self) -> bool:
        with self._reaching() as (files, path):
            return bool(files.isdir(path))

    def size(self) -> int:
        """In bytes. Raises FileNotFoundError."""
        return int(self._known()["size"])

    def modified(self) -> float:
        """Seconds since 1970; 0 where the file system does not tell."""
        info = self._info() or {}
        for time_of in (info.get(key) for key in ("LastModified", "last_modified", "mtime", "created")):
            if time_of and not isinstance(time_of, str):
                return float(time_of.timestamp() if hasattr(time_of, "timestamp") else time_of)
        return 0.0

    def names(self) -> list[str]:
        """Every file under this folder, relative to it, in order; empty where there is none."""
        with self._reaching() as (files, path):
            try:
                names = files.find(path)
            except FileNotFoundError:
                return []
            start = len(path.strip("/")) + 1
            return sorted(name.strip("/")[start:] for name in names)

    def children(self) -> list[str]:
        """Names of the files and folders right in this folder; empty where there is none."""
        with self._reaching() as (files, path):
            try:
                return sorted(name.rstrip("/").rpartition("/")[2] for name in files.ls(path, detail=False))
            except FileNotFoundError:
                return []

    def glob(self, pattern: str) -> Iterator["Remote"]:
        """Files and folders whose path from here matches, name by name, as in pathlib."""
        wanted = pattern.split("/")
        below = {"/".join(name.split("/")[: len(wanted)]) for name in self.names()}
        for name in sorted(below):
            steps = name.split("/")
            if len(steps) == len(wanted) and all(map(fnmatchcase, steps, wanted)):
                yield self / name

    def read_bytes(self) -> bytes:
        """Raises FileNotFoundError where there is no such file, StorageUnreachable when it cannot be asked."""
        with self._reaching() as (files, path):
            return bytes(files.cat_file(path))

    def open(self) -> Any:
        """A file object that reads what is asked for, a stretch ahead. Raises FileNotFoundError, StorageUnreachable."""
        with self._reaching() as (files, path):
            return files.open(path, "rb")

    def create(self, content: bytes) -> None:
        """Write a file that must not be there yet. Raises FileExistsError; on S3 the server itself decides."""
        with self._reaching() as (files, path):
            files.pipe_file(path, content, mode="create")

    def write_bytes(self, content: bytes) -> None:
        with self._reaching() as (files, path):
            files.pipe_file(path, content)

    def copy_from(self, other: "Remote") -> None:
        with self._reaching() as (files, path):
            files.cp_file(files._strip_protocol(other.url), path)

    def unlink(self, missing_ok: bool = False) -> None:
        with self._reaching() as (files, path):
            try:
                files.rm_file(path)
            except FileNotFoundError:
                if not missing_ok:
                    raise
        self.forget()

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Folders are made by the files in them."""

    def fetched(self) -> Path:
        """A copy on this machine of the file as it is now; an older version's copy goes.

        A copy of another length, or of a version that the file system does not tell, is fetched again.
        Raises FileNotFoundError, StorageUnreachable.
        """
        info = self._known()
        copy, size = self._copy(info), info.get("size")
        if not (_version(info) and copy.exists() and copy.stat().st_size == size):
            with _copying() as aside:
                with self._reaching() as (files, path):
                    files.get_file(path, str(aside))
                if size is not None and aside.stat().st_size != size:
                    raise StorageUnreachable(f"{self}: {aside.stat().st_size:,} of {size:,} bytes arrived; run again")
                self._take(aside, copy)
        return copy

    def forget(self) -> None:
        """Drop the copy on this machine."""
        stem = self._stem()
        for old in stem.parent.glob(f"{stem.name}-*"):
            old.unlink(missing_ok=True)

    @contextmanager
    def uploading(self) -> Iterator[Path]:
        """Yield a file on this machine to write; on success upload it whole, under its final name in one step."""
        with _copying() as aside:
            yield aside
            with self._reaching() as (files, path):
                files.put_file(str(aside), path)
            if self.size() != aside.stat().st_size:
                raise StorageUnreachable(
                    f"{self}: {self.size():,} of {aside.stat().st_size:,} bytes arrived; run again"
                )
            self._take(aside, self._copy(self._known()))

    def _take(self, aside: Path, copy: Path) -> None:
        self.forget()
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside, copy)

    def _stem(self) -> Path:
        """What the names of all versions' copies begin with. Many files share a folder, for parts are many."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()
        return _copies() / digest[:2] / digest[2:32]

    def _copy(self, info: dict[str, Any]) -> Path:
        """Where the copy of the version that `info` tells of lies, or would."""
        version = hashlib.sha256(f"{info.get('size')} {_version(info)}".encode()).hexdigest()[:16]
        stem = self._stem()
        return stem.with_name(f"{stem.name}-{version}{self.suffix}")

    def _known(self) -> dict[str, Any]:
        """What the file system says of the file. Raises FileNotFoundError."""
        with self._reaching() as (files, path):
            return dict(files.info(path))

    def _info(self) -> dict[str, Any] | None:
        try:
            return self._known()
        except FileNotFoundError:
            return None

    @contextmanager
    def _reaching(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path in it. All that it raises in its many ways becomes StorageUnreachable, but for
        a file that is not there, or is there already; a full disk here stays what it is."""
        try:
            files = filesystem(self.url)
            yield files, files._strip_protocol(self.url)
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "no such file", self.url) from None
        except (FileExistsError, Failed):
            raise
        except Exception as error:  # botocore's exceptions, aiohttp's, OSError, TimeoutError, ...
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StorageUnreachable(f"{self}: {_in_words(error)}") from None


def filesystem(url: str) -> Any:
    """fsspec's file system of a URL, one for each protocol and process. Raises Refused when a package is missing."""
    protocol = url.partition("://")[0]
    needed = ["fsspec", "s3fs"] if protocol == "s3" else ["fsspec"]
    need(needed, f"{url}: {protocol}:// needs", "cloud")
    import fsspec

    try:
        return fsspec.filesystem(protocol, use_listings_cache=False, **OPTIONS.get(protocol, {}))
    except ImportError as error:
        raise Refused(f"{url}: {protocol}:// needs a package that is not installed ({error})") from None
    except ValueError as error:
        raise Refused(f"{url}: no file system is called {protocol}:// ({error})") from None


def _in_words(error: Exception) -> str:
    said = in_a_line(error)
    if isinstance(error, PermissionError):
        return f"access is denied ({said}); check the credentials, and what they may read and write"
    if "Credentials" in type(error).__name__:
        return f"no credentials ({said}); set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return f"cannot be reached ({said}); check the address and the network, and AWS_ENDPOINT_URL if it is not Amazon's"


def _version(info: dict[str, Any]) -> str:
    """What tells a file's versions apart; empty where its file system says nothing of the kind."""
    return str(next((info[key] for key in VERSION if info.get(key)), ""))


def _copies() -> Path:
    """Where copies on this machine lie: in memefuse's cache."""
    return cache_root() / "elsewhere"


@contextmanager
def _copying() -> Iterator[Path]:
    """Yield a file to write, which is nobody's copy yet; it is gone at the end unless it was renamed."""
    folder = _copies() / "aside"
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.iterdir())
    handle, name = tempfile.mkstemp(suffix=".tmp", dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
