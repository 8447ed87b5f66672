"""A published split: one file, or an index and the shards beside it.

`<split>.h5` is what is read and replaced, in either case: a reader sees the old split or the new one. The index of a
sharded split holds all rows but no vectors; its `vector` is virtual, so that any HDF5 program sees one dataset. Shards
land first, under names that no reader knows yet; those that no index names any more go once the new index is there. A
shard's name ends in a digest of its rows: a shard that has not changed is not written again, and shards of an old and a
new set never collide.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import h5py
import numpy as np

from extract import places
from extract.errors import listing
from extract.files import replacing
from extract.places import Place, Remote
from extract.store import files
from extract.store.files import Opened, Shard
from extract.store.schema import SHARDED, Block, Features, Lazy, OtherSchema, SplitRows, StoreError, Vectors

SHARD_ROWS = 1_000_000  # a split with more rows is cut into shards of this many
AT_ONCE = 64  # shards written side by side, in one pass over the vectors
TRIES = 20  # readings of files that a publishing run has just replaced
# takes row numbers [n]; yields positions in them [m] and their vectors [m, D], in any order
VectorsOf = Callable[[np.ndarray], Iterable[Block]]


def publish(path: Place, features: Features, shard_rows: int = SHARD_ROWS) -> None:
    """Write vectors that are in memory, verified and in one step: a reader sees the old split or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as renames:
        publish_split(path, features, lambda rows: _blocks(features.vector, rows), shard_rows, renames)
    sweep_shards(path)


def publish_split(path: Place, rows: SplitRows, vectors: VectorsOf, shard_rows: int, renames: ExitStack) -> None:
    """Write a split; it is in place when `renames` closes, and `sweep_shards` may follow.

    Raises as `write` does.
    """
    if len(rows) <= shard_rows:
        files.write(renames.enter_context(replacing(path)), rows, vectors(np.arange(len(rows))))
        return
    shards = write_shards(path, rows, vectors, shard_rows)
    write_index(renames.enter_context(replacing(path)), rows, shards)


def read(path: Place) -> Features:
    """Open a published split. Vectors stay on disk and are mapped, so this is quick at any size.

    Elsewhere, `path` is fetched now and shards when they are used. Raises StoreError when a file is missing, cut short,
    of another schema or inconsistent.
    """
    for _ in range(TRIES):
        before, opened = files.version(path), files.open_file(path)
        try:
            features = Features(**vars(opened.rows), vector=_vectors(path, opened))
        except (StoreError, ValueError):  # of a file or of shards that may just have been replaced
            there = files.version(path), files.open_file(path).shards
            if there == (before, opened.shards):
                raise
        else:
            if files.version(path) == before:  # else these may be one file's rows and another's vectors
                return features
    raise StoreError(f"{path} was replaced {TRIES} times while it was read; run again when no extract writes there")


def read_rows(path: Place) -> SplitRows:
    """All but the vectors. Raises StoreError as `read` does, but shards are not looked at."""
    return files.open_file(path).rows


def verify(path: Place, fresh: bool = False) -> None:
    """Check that no byte of a published split has changed, that its shards are its own, and every value finite.

    fresh: trust no copy, on this machine, of what lies elsewhere. Raises StoreError, naming files and what is wrong.
    """
    _check_file(path, fresh)
    opened = files.open_file(path)
    damaged = []
    for shard in opened.shards:
        try:
            _check_file(path.parent / shard.file, fresh, shard.sha256)
        except StoreError as error:
            damaged.append(str(error))
    if damaged:
        raise StoreError(f"{path}: {len(damaged):,} of {len(opened.shards):,} shards are damaged:\n{listing(damaged)}")
    vector = _vectors(path, opened)
    size = files.chunk_rows(vector.shape[1])
    for start in range(0, len(vector), size):
        if not np.isfinite(vector[start : start + size]).all():
            raise StoreError(f"{path}: holds values that are not finite; delete it and run extract again")


def holds(path: Place, rows: SplitRows, shard_rows: int = SHARD_ROWS) -> bool:
    """Whether a published split has exactly these rows: ids, labels, contents, fingerprint and dropped memes, in
    shards of this size where there are so many; and whether all its shards are there. Raises OtherSchema."""
    try:
        opened = files.open_file(path)
    except OtherSchema:
        raise
    except StoreError:
        return False
    old = opened.rows
    return (
        old.identity.fingerprint == rows.identity.fingerprint
        and old.dropped == rows.dropped
        and all(
            np.array_equal(getattr(old, name), np.asarray(getattr(rows, name))) for name in ("ids", "label", "content")
        )
        and [shard.rows for shard in opened.shards] == sizes_of(len(rows), shard_rows)
        and all(shard.intact(path) for shard in opened.shards)
    )


def split_files(folder: Place) -> list[Place]:
    """Every published file of an encoder's folder: whole splits, indexes and shards, also those that no index names."""
    return places.glob(folder, "[!.]*.h5") + places.glob(folder, "[!.]*/[!.]*.h5")


def sweep_shards(path: Place) -> None:
    """Remove the shards beside a published split that its index does not name."""
    folder = path.with_suffix("")
    there = places.glob(folder, "[!.]*.h5")
    if there:
        named = {Path(shard.file).name for shard in files.open_file(path).shards}
        for shard in there:
            if shard.name not in named:
                shard.unlink(missing_ok=True)
    if isinstance(folder, Path) and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _check_file(path: Place, fresh: bool, sha256: str | None = None) -> None:
    if fresh and isinstance(path, Remote):
        path.forget()
    files.check_seal(path, sha256, fresh)


def _vectors(path: Place, opened: Opened) -> Vectors:
    rows, dim = opened.shape
    if not opened.shards:
        return files.mapped(places.local(path), opened.offset, (rows, dim))
    if sum(shard.rows for shard in opened.shards) != rows:
        raise StoreError(f"{path}: its shards have other rows than its index; delete it and run extract again")
    lazy = Shards([ShardMap(path, shard, dim) for shard in opened.shards], dim)
    return lazy if isinstance(path, Remote) else lazy.map_all()


def _blocks(vector: Vectors, rows: np.ndarray, size: int = 8192) -> Iterator[Block]:
    for start in range(0, len(rows), size):
        yield np.arange(start, min(start + size, len(rows))), vector[rows[start : start + size]]


@dataclass(frozen=True)
class ShardMap:
    """A shard's vectors, mapped when they are asked for; one that lies elsewhere is fetched first."""

    index: Place
    shard: Shard
    dim: int

    def map(self) -> np.ndarray:
        """Raises StoreError when the file is missing or cut short."""
        path = self.index.parent / self.shard.file
        try:
            here = places.local(path)
            if (there := here.stat().st_size) != self.shard.bytes:
                raise ValueError(f"{there:,} of {self.shard.bytes:,} bytes")
            return files.mapped(here, self.shard.offset, (self.shard.rows, self.dim))
        except (OSError, ValueError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
            raise StoreError(f"{path}: {reason}; delete it and run extract again") from None


class Shards(Lazy):
    """Shards one after the other. Each is mapped at its first use."""

    def __init__(self, shards: Sequence[ShardMap], dim: int) -> None:
        self.ends = np.cumsum([each.shard.rows for each in shards])
        self.shape = int(self.ends[-1]), dim
        self.mapped = cache(lambda number: shards[number].map())

    def map_all(self) -> "Shards":
        """Map them now: what is mapped stays readable when a later run replaces the files."""
        for number in range(len(self.ends)):
            self.mapped(number)
        return self

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        rows = np.empty((len(numbers), self.shape[1]), np.float32)
        shard = np.searchsorted(self.ends, numbers, side="right")
        for number in np.unique(shard):
            here = shard == number
            start = self.ends[number - 1] if number else 0
            rows[here] = self.mapped(int(number))[numbers[here] - start]
        return rows


def sizes_of(rows: int, shard_rows: int) -> list[int]:
    """Rows of each shard; none for a split that is one file."""
    starts = range(0, rows, shard_rows) if rows > shard_rows else ()
    return [min(shard_rows, rows - start) for start in starts]


def write_shards(path: Place, rows: SplitRows, vectors: VectorsOf, shard_rows: int) -> list[Shard]:
    """Land every shard under its own name, taking those over that are there already; nobody reads them yet."""
    sizes = sizes_of(len(rows), shard_rows)
    parts = [rows.between(number * shard_rows, number * shard_rows + size) for number, size in enumerate(sizes)]
    digests = [_digest(part) for part in parts]
    names = [f"{path.stem}/{number:05d}-of-{len(sizes):05d}-{each}.h5" for number, each in enumerate(digests)]
    there = _there(path)
    done = {
        number: _taken_over(path, there[each], names[number]) for number, each in enumerate(digests) if each in there
    }
    left = iter([number for number in range(len(sizes)) if number not in done])
    while numbers := list(islice(left, AT_ONCE)):
        group = {number: (names[number], parts[number]) for number in numbers}
        done |= _write_group(path, group, vectors, shard_rows)
    return [done[number] for number in range(len(sizes))]


def _write_group(
    path: Place, group: dict[int, tuple[str, SplitRows]], vectors: VectorsOf, shard_rows: int
) -> dict[int, Shard]:
    """Write shards side by side, so that vectors, which come in any order, are read once."""
    with ExitStack() as open_files:
        asides, writers = {}, {}
        for number, (name, part) in group.items():
            (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            asides[number] = open_files.enter_context(replacing(path.parent / name))
            writers[number] = open_files.enter_context(files.Writer(asides[number], part))
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


def write_index(path: Path, rows: SplitRows, shards: Sequence[Shard]) -> None:
    """Write the file that stands for a sharded split, to `path`, which nobody reads yet."""
    dim = rows.identity.dim
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
    """The shards, by digest, of the split as it is published now, as far as they are sound."""
    shards = {}
    with suppress(StoreError):
        for shard in files.open_file(path).shards:
            with suppress(StoreError):
                files.check_seal(path.parent / shard.file, shard.sha256)
                shards[shard.digest] = shard
    return shards


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
    return replace(shard, file=name)


def _link(old: Path, new: Path) -> None:
    """A second name; where a file can have but one, as on exFAT and CIFS, a copy."""
    try:
        new.hardlink_to(old)
    except OSError:
        with replacing(new) as aside:
            shutil.copyfile(old, aside)


def _digest(part: SplitRows) -> str:
    """Digest of what determines a shard's numbers."""
    digest = hashlib.sha256(f"{part.identity.fingerprint} {part.identity.dim} ".encode())
    digest.update(json.dumps(part.ids.tolist()).encode())
    for values, dtype in ((part.label, np.int8), (part.content, "S64"), (part.tokens, np.int32)):
        digest.update(b"" if values is None else np.asarray(values, dtype=dtype).tobytes())
    return digest.hexdigest()[:12]
