"""Shards of a large split: their names, their index, and writing them.

A shard's name ends in a digest of its rows: a shard that has not changed is not written again, and shards of an old and
a new set never collide.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import h5py
import numpy as np

from extract import places
from extract.files import replacing
from extract.places import Place, Remote
from extract.store import files
from extract.store.schema import SHARDED, Block, Rows, StoreError

AT_ONCE = 64  # shards written side by side, in one pass over the vectors
VectorsOf = Callable[
    [np.ndarray], Iterable[Block]
]  # row numbers [n] -> positions in them [m], vectors [m, D]; any order


@dataclass(frozen=True)
class Shard:
    """One file of a sharded split, as its index describes it."""

    file: str  # beside the index: "train/00000-of-00042-<digest of its rows>.h5"
    rows: int
    offset: int  # bytes: where its vectors start
    sha256: str  # of its sealed bytes
    bytes: int  # length of the file

    @property
    def identity(self) -> str:
        return Path(self.file).stem.rpartition("-")[2]

    def intact(self, index: Place) -> bool:
        """Whether the file is there, at its full length."""
        path = index.parent / self.file
        try:
            return (path.size() if isinstance(path, Remote) else path.stat().st_size) == self.bytes
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class ShardMap:
    """A shard's vectors, mapped when they are asked for; one that lies elsewhere is fetched first."""

    index: Place
    shard: Shard
    dim: int

    @property
    def rows(self) -> int:
        return self.shard.rows

    def map(self) -> np.ndarray:
        """Raises StoreError when the file is missing or cut short."""
        path = self.index.parent / self.shard.file
        try:
            here = places.local(path)
            if (there := here.stat().st_size) != self.shard.bytes:
                raise ValueError(f"{there:,} of {self.shard.bytes:,} bytes")
            return files.mapped(here, self.shard.offset, (self.rows, self.dim))
        except (OSError, ValueError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
            raise StoreError(f"{path}: {reason}; delete it and run extract again") from None


def sizes_of(rows: int, shard_rows: int) -> list[int]:
    """Rows of each shard; none for a split that is one file."""
    starts = range(0, rows, shard_rows) if rows > shard_rows else ()
    return [min(shard_rows, rows - start) for start in starts]


def write_shards(path: Place, rows: Rows, vectors: VectorsOf, dim: int, shard_rows: int) -> list[Shard]:
    """Land every shard under its own name, taking those over that are there already; nobody reads them yet."""
    sizes = sizes_of(len(rows), shard_rows)
    parts = [rows.between(number * shard_rows, number * shard_rows + size) for number, size in enumerate(sizes)]
    identities = [_identity(part, dim) for part in parts]
    names = [f"{path.stem}/{number:05d}-of-{len(sizes):05d}-{each}.h5" for number, each in enumerate(identities)]
    there = _there(path)
    done = {
        number: _taken_over(path, there[each], names[number]) for number, each in enumerate(identities) if each in there
    }
    left = iter([number for number in range(len(sizes)) if number not in done])
    while numbers := list(islice(left, AT_ONCE)):
        group = {number: (names[number], parts[number]) for number in numbers}
        done |= _write_group(path, group, vectors, dim, shard_rows)
    return [done[number] for number in range(len(sizes))]


def _write_group(
    path: Place, group: dict[int, tuple[str, Rows]], vectors: VectorsOf, dim: int, shard_rows: int
) -> dict[int, Shard]:
    """Write shards side by side, so that vectors, which come in any order, are read once."""
    with ExitStack() as open_files:
        asides, writers = {}, {}
        for number, (name, part) in group.items():
            (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            asides[number] = open_files.enter_context(replacing(path.parent / name))
            writers[number] = open_files.enter_context(files.Writer(asides[number], part, dim))
        wanted = np.concatenate([np.arange(len(part)) + number * shard_rows for number, (_, part) in group.items()])
        for positions, block in vectors(wanted):
            row = wanted[positions]
            for number in np.unique(row // shard_rows).tolist():
                here = row // shard_rows == number
                writers[number].put(row[here] - number * shard_rows, np.asarray(block)[here])
        shards = {}
        for number, (name, part) in group.items():
            offset, digest = writers[number].offset, writers[number].finish()
            shards[number] = Shard(name, len(part), offset, digest, asides[number].stat().st_size)
        return shards


def write_index(path: Path, rows: Rows, shards: Sequence[Shard], dim: int) -> None:
    layout = h5py.VirtualLayout(shape=(len(rows), dim), dtype="<f4")
    start = 0
    for shard in shards:
        layout[start : start + shard.rows] = h5py.VirtualSource(shard.file, "vector", shape=(shard.rows, dim))
        start += shard.rows
    with files.h5py_in_words(), files.create(path, rows) as file:
        file.create_virtual_dataset("vector", layout, fillvalue=np.nan)  # what a missing shard looks like
        files.describe(file, rows, SHARDED)
        file.attrs["shards"] = json.dumps([asdict(shard) for shard in shards])
    files.seal(path)


def _there(path: Place) -> dict[str, Shard]:
    """The shards, by identity, of the split as it is published now, as far as they are there."""
    try:
        published = [Shard(**shard) for shard in files.opened(path).shards]
    except StoreError:
        return {}
    return {shard.identity: shard for shard in published if shard.intact(path)}


def _taken_over(path: Place, shard: Shard, name: str) -> Shard:
    """A shard whose rows have not changed, under its name in the new set."""
    old, new = path.parent / shard.file, path.parent / name
    if old != new:
        if isinstance(new, Remote):
            assert isinstance(old, Remote)
            new.copy_from(old)
        elif not new.exists():
            assert isinstance(old, Path)
            _link(old, new)
    return Shard(name, shard.rows, shard.offset, shard.sha256, shard.bytes)


def _link(old: Path, new: Path) -> None:
    """A second name; where a file can have but one, as on exFAT and CIFS, a copy."""
    try:
        new.hardlink_to(old)
    except OSError:
        with replacing(new) as aside:
            shutil.copyfile(old, aside)


def _identity(part: Rows, dim: int) -> str:
    """Digest of what determines a shard's numbers."""
    digest = hashlib.sha256(f"{part.fingerprint} {dim} ".encode())
    digest.update(json.dumps(part.ids.tolist()).encode())
    for values, kind in ((part.label, np.int8), (part.content, "S64"), (part.tokens, np.int32)):
        digest.update(b"" if values is None else np.asarray(values, dtype=kind).tobytes())
    return digest.hexdigest()[:12]
