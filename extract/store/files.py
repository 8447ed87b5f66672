"""One HDF5 file of the store: written aside and verified, sealed, renamed into place, mapped when it is read.

Datasets `id`, `vector`, `label`, `content` (and `tokens` for texts), everything else as attributes. The first 512 bytes
(an HDF5 user block, which readers skip) hold the sha256 of all the bytes that follow, so that any flipped or missing
byte is found. A second line there, which older files lack, says where the vectors lie and has the sha256 of all the
rest: HDF5's library can hang on a damaged file, so that nothing is opened with it before its seal is checked.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import IO

import h5py
import numpy as np

from extract import places
from extract.errors import named
from extract.places import Place, Remote
from extract.store.schema import (
    SCHEMA,
    SHARDED,
    Block,
    EncoderIdentity,
    OtherSchema,
    SplitRows,
    StoreError,
    StoreIncomplete,
)

USER_BLOCK = 512  # bytes
SEAL = b"memefuse sha256 "
CHUNK = 1 << 24  # bytes of vectors that are read at a time
SETTLED = 2.0  # seconds after which a file's time stamps tell every later change from the last
Version = tuple[str, int, int, int, int, int]
# files that this process has checked: their digest where all bytes were read, None where all but the vectors
CHECKED: dict[Version, str | None] = {}


def chunk_rows(dim: int) -> int:
    """Rows of `dim` columns in a chunk."""
    return max(1, CHUNK // max(1, 4 * dim))


def write(path: Path, rows: SplitRows, blocks: Iterable[Block]) -> None:
    """Write a file to `path`, which nobody reads yet (see `files.replacing`), its vectors streamed in any order.

    blocks: row numbers [n] and their vectors [n, dim]; a row may be written twice.
    Raises StoreError for vectors of another width, StoreIncomplete when a row is never written or a value is not
    finite, OSError when the disk refuses.
    """
    with Writer(path, rows) as writer:
        for numbers, vectors in blocks:
            writer.put(numbers, vectors)
        writer.finish()


class Writer:
    """A file while it is written: its rows first, then vectors in any order, last the proof that none is missing."""

    def __init__(self, path: Path, rows: SplitRows) -> None:
        self.path, self.rows, self.dim = path, rows, rows.identity.dim
        with h5py_in_words():
            self.offset = _write_rows(path, rows)
        self.written = np.zeros(len(rows), dtype=bool)
        self.file = open(path, "r+b")  # noqa: SIM115  closed at exit

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def put(self, numbers: np.ndarray, vectors: np.ndarray) -> None:
        """Write vectors [n, dim] of rows [n].

        Raises StoreError for vectors of another width, StoreIncomplete for values that are not finite.
        """
        data = np.ascontiguousarray(vectors, dtype="<f4")
        if data.ndim != 2 or data.shape[1] != self.dim:
            raise StoreError(
                f"{self.rows.split}: {self.rows.identity.name} gave vectors of {data.shape[-1]:,} numbers, its file "
                f"takes {self.dim:,}; nothing was published"
            )
        bad = ~np.isfinite(data).all(axis=1)
        if bad.any():
            names = [str(self.rows.ids[number]) for number in np.asarray(numbers)[bad]]
            raise StoreIncomplete(f"{bad.sum():,} vectors of {self.rows.split} are not finite; first: {named(names)}")
        order = np.argsort(numbers, kind="stable")
        gaps = np.flatnonzero(np.diff(np.asarray(numbers)[order]) != 1) + 1
        for run in np.split(order, gaps) if len(order) else ():
            # written by offset, not mapped: memory stays flat however many rows there are
            rows = data[run]
            written = os.pwrite(self.file.fileno(), rows.data, self.offset + int(numbers[run[0]]) * self.dim * 4)
            if written < rows.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written[numbers] = True

    def finish(self) -> str:
        """Seal the file and return its digest. Raises StoreIncomplete when a row was never written."""
        if not self.written.all():
            names = [str(name) for name in self.rows.ids[~self.written]]
            raise StoreIncomplete(f"{len(names):,} of {len(self.rows):,} rows never written; first: {named(names)}")
        return seal(self.path, (self.offset, 4 * self.dim * len(self.rows)))


@contextmanager
def h5py_in_words() -> Iterator[None]:
    """h5py raises OSError or RuntimeError, with a page of its own words around the reason: leave the reason."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = re.search(r"errno = (\d+), error message = '([^']*)'", str(error))
        raise OSError(int(reason[1]), reason[2]) if reason else error from None


def create(path: Path, rows: SplitRows) -> h5py.File:
    """A new file with the rows' datasets, still open; `describe` it once its vectors have their place."""
    ids = np.char.encode(np.asarray(rows.ids, dtype=np.str_), "utf-8")
    # latest: its metadata carries checksums, and no time stamp makes two equal runs differ
    file = h5py.File(path, "w", libver="latest", userblock_size=USER_BLOCK)
    file.create_dataset("id", data=ids.astype(h5py.string_dtype("utf-8", max(1, ids.dtype.itemsize))))
    file.create_dataset("label", data=np.asarray(rows.label, dtype=np.int8))
    file.create_dataset("content", data=np.asarray(rows.content, dtype="S64"))
    if rows.tokens is not None:
        file.create_dataset("tokens", data=np.asarray(rows.tokens, dtype=np.int32))
    return file


def describe(file: h5py.File, rows: SplitRows, schema: int) -> None:
    """Write the attributes."""
    encoder = rows.identity
    file.attrs["schema"] = schema
    words = {"encoder": encoder.name, "kind": encoder.kind, "split": rows.split, "fingerprint": encoder.fingerprint}
    for name, word in words.items():
        file.attrs[name] = word
    structures = {"settings": encoder.settings, "versions": encoder.versions, "dropped": rows.dropped}
    for name, structure in structures.items():
        file.attrs[name] = json.dumps(structure, sort_keys=True, ensure_ascii=False)


def _identity(file: h5py.File) -> EncoderIdentity:
    """What `describe` wrote; the width is that of the vectors."""
    kind, name, fingerprint = (str(file.attrs[word]) for word in ("kind", "encoder", "fingerprint"))
    settings, versions = (json.loads(file.attrs[structure]) for structure in ("settings", "versions"))
    return EncoderIdentity(kind, name, file["vector"].shape[1], fingerprint, settings, versions)


def _write_rows(path: Path, rows: SplitRows) -> int:
    """Create the file with everything but vectors; return the byte offset at which vectors start."""
    allocated = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    allocated.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    with create(path, rows) as file:
        vector = file.create_dataset("vector", shape=(len(rows), rows.identity.dim), dtype="<f4", dcpl=allocated)
        describe(file, rows, SCHEMA)
        return vector.id.get_offset()


def seal(path: Path, vectors: tuple[int, int] | None = None) -> str:
    """Write the digest of a finished file into its user block, and return it.

    vectors: the byte at which they start, and how many bytes they are; None where there are none.
    """
    with open(path, "r+b") as file:
        rest = b""
        if vectors:
            size = os.fstat(file.fileno()).st_size
            rest = b"rows %d %d %d %s\n" % (*vectors, size, _digest_around(file, *vectors).encode())
        digest = _digest(file, rest)
        file.seek(0)
        file.write(_head(digest, rest))
    return digest


def _head(digest: str, rest: bytes) -> bytes:
    """The user block. rest: its second line, which the digest covers."""
    return (SEAL + digest.encode() + b"\n" + rest).ljust(USER_BLOCK, b"\0")


def _digest(file: IO[bytes], rest: bytes) -> str:
    """sha256 (hex) of the seal's second line and everything behind the user block."""
    file.seek(USER_BLOCK)
    return hashlib.file_digest(file, lambda: hashlib.sha256(rest)).hexdigest()  # type: ignore[arg-type]


def _digest_around(file: IO[bytes], start: int, length: int) -> str:
    """sha256 (hex) of everything behind the user block but the vectors."""
    file.seek(USER_BLOCK)
    digest = hashlib.sha256(file.read(start - USER_BLOCK))
    file.seek(start + length)
    digest.update(file.read())
    return digest.hexdigest()


def check_seal(path: Place, expected: str | None = None, fresh: bool = False) -> None:
    """Raise StoreError unless a file's bytes match its digest, and that the one expected of it.

    fresh: read it even if this process has done so.
    """
    _check(path, expected, whole=True, fresh=fresh)


def _check(path: Place, expected: str | None = None, whole: bool = False, fresh: bool = False) -> None:
    """A damaged copy of what lies elsewhere says nothing of it: that is fetched again and judged anew."""
    try:
        if _sealed(places.local(path), expected, whole, fresh):
            return
        if isinstance(path, Remote):
            path.forget()
            if _sealed(places.local(path), expected, whole, fresh):
                return
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run extract again") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error}); run extract again") from None
    raise StoreError(f"{path}: its bytes do not match its sha256; delete it and run extract again")


def _sealed(path: Path, expected: str | None, whole: bool, fresh: bool) -> bool:
    """Whether a file's bytes match its seal: all, or at least all but its vectors where the seal tells these apart."""
    with open(path, "rb") as file:
        stat = os.fstat(file.fileno())
        version = (str(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = None if fresh else CHECKED.get(version)
        if known or (version in CHECKED and not whole and not fresh):
            return expected in (None, known)
        head = file.read(USER_BLOCK)
        rest = head[len(SEAL) + 65 :].rstrip(b"\0")
        if rest and not whole:
            digest = None
            try:
                start, length, size = map(int, rest.split()[1:4])
                there = (
                    head.startswith(SEAL)
                    and rest.endswith(b"\n")
                    and USER_BLOCK <= start <= start + length <= size == stat.st_size
                )
                intact = there and rest.split()[4] == _digest_around(file, start, length).encode()
            except (ValueError, IndexError):
                return False
        else:
            digest = _digest(file, rest)
            intact = head == _head(digest, rest) and expected in (None, digest)
    if intact and time() - max(stat.st_mtime, stat.st_ctime) > SETTLED:
        CHECKED[version] = digest
    return intact


@dataclass(frozen=True)
class Shard:
    """One file of a sharded split, as its index describes it."""

    file: str  # beside the index: "train/00000-of-00042-<digest of its rows>.h5"
    rows: int
    offset: int  # bytes: where its vectors start
    sha256: str  # of its sealed bytes
    bytes: int  # length of the file

    @property
    def digest(self) -> str:
        """Of its rows, as its name has it."""
        return Path(self.file).stem.rpartition("-")[2]

    def intact(self, index: Place) -> bool:
        """Whether the file is there, at its full length."""
        try:
            return places.size(index.parent / self.file) == self.bytes
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Opened:
    """What a file says of itself."""

    rows: SplitRows
    shape: tuple[int, int]  # of the vectors
    offset: int | None  # bytes: where they start in this file; None where there are none, or none in this file
    shards: list[Shard]  # the files that hold them instead


def open_file(path: Place) -> Opened:
    """Read everything but vectors, once it is known to be sound.

    Raises StoreError when the file is missing, damaged or cut short, OtherSchema where a later version has written it.
    """
    _check(path)
    try:
        with h5py.File(places.local(path), "r") as file:
            schema = file.attrs.get("schema", "none")
            if schema not in (SCHEMA, SHARDED):
                raise OtherSchema(
                    f"{path}: schema {schema}, this version reads schema {SCHEMA}; update memefuse, or name another "
                    "folder with --features"
                )
            rows = SplitRows(
                identity=_identity(file),
                split=str(file.attrs["split"]),
                ids=np.char.decode(file["id"][:].astype(np.bytes_), "utf-8"),
                label=file["label"][:],
                content=file["content"][:].astype("S64"),
                dropped=json.loads(file.attrs["dropped"]),
                tokens=file["tokens"][:] if "tokens" in file else None,
            )
            vector = file["vector"]
            shards = [Shard(**each) for each in json.loads(file.attrs["shards"])] if schema == SHARDED else []
            opened = Opened(rows, vector.shape, vector.id.get_offset(), shards)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); delete it and run extract again") from None
    lengths = {len(rows.ids), len(rows.label), len(rows.content), opened.shape[0]}
    if len(lengths) != 1:
        raise StoreError(f"{path}: its datasets have different lengths {sorted(lengths)}; run extract again")
    return opened


def version(path: Place) -> tuple[int, int, int] | None:
    """What tells a file of this machine from one that takes its place; None where there is none, or not here."""
    try:
        status = path.stat() if isinstance(path, Path) else None
    except OSError:
        return None
    return status and (status.st_ino, status.st_mtime_ns, status.st_size)


def mapped(path: Path, offset: int | None, shape: tuple[int, int]) -> np.ndarray:
    """The vectors of a file, read-only and on disk. Raises FileNotFoundError, ValueError when it is too short."""
    if 0 in shape or offset is None:
        return np.empty(shape, dtype=np.float32)
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=shape)


def chunks(path: Place, wanted: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """First rows and vectors [n, D] of a file, read and not mapped, CHUNK bytes at a time: memory stays flat.

    wanted: row numbers; chunks without one are not read.
    """
    with h5py.File(places.local(path), "r") as file:
        vector = file["vector"]
        size = chunk_rows(vector.shape[1])
        numbers = range(-(-len(vector) // size)) if wanted is None else np.unique(wanted // size).tolist()
        for start in (number * size for number in numbers):
            yield start, vector[start : start + size]
