"""A published split: one file, or an index and the shards beside it.

`<split>.h5` is what is read and replaced, in either case: a reader sees the old split or the new one. The index of a
sharded split holds all rows but no vectors; its `vector` is virtual, so that any HDF5 program sees one dataset. Shards
land first, under names that no reader knows yet; those that no index names any more go once the new index is there.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from extract import places
from extract.errors import listing
from extract.files import replacing
from extract.places import Place, Remote
from extract.store import files
from extract.store.arrays import Shards, Vectors
from extract.store.schema import Block, Features, Rows, StoreError
from extract.store.shards import Shard, ShardMap, VectorsOf, sizes_of, write_index, write_shards

SHARD_ROWS = 1_000_000  # a split with more rows is cut into shards of this many
TRIES = 3  # readings of an index whose shards a publishing run has just replaced


def publish(path: Place, features: Features, shard_rows: int = SHARD_ROWS) -> None:
    """Write vectors that are in memory, verified and in one step: a reader sees the old split or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as renames:
        dim = features.vector.shape[1]
        publish_split(path, features, lambda rows: _blocks(features.vector, rows), dim, shard_rows, renames)
    sweep_shards(path)


def publish_split(path: Place, rows: Rows, vectors: VectorsOf, dim: int, shard_rows: int, renames: ExitStack) -> None:
    """Write a split; it is in place when `renames` closes, and `sweep_shards` may follow.

    Raises as `write` does.
    """
    if len(rows) <= shard_rows:
        files.write(renames.enter_context(replacing(path)), rows, vectors(np.arange(len(rows))), dim)
        return
    shards = write_shards(path, rows, vectors, dim, shard_rows)
    write_index(renames.enter_context(replacing(path)), rows, shards, dim)


def read(path: Place) -> Features:
    """Open a published split. Vectors stay on disk and are mapped, so this is quick at any size.

    Elsewhere, `path` is fetched now and shards when they are used. Raises StoreError when a file is missing, cut short,
    of another schema or inconsistent.
    """
    for left in reversed(range(TRIES)):
        found = files.opened(path)
        try:
            return Features(**vars(found.rows), vector=_vectors(path, found))
        except StoreError:
            if not left or files.opened(path).shards == found.shards:
                raise
    raise AssertionError("unreachable")


def read_rows(path: Place) -> Rows:
    """All but the vectors. Raises StoreError as `read` does, but shards are not looked at."""
    return files.opened(path).rows


def verify(path: Place, fresh: bool = False) -> None:
    """Check that no byte of a published split has changed, that its shards are its own, and every value finite.

    fresh: trust no copy, on this machine, of what lies elsewhere. Raises StoreError, naming files and what is wrong.
    """
    _check_file(path, fresh)
    found = files.opened(path)
    shards = [Shard(**shard) for shard in found.shards]
    damaged = []
    for shard in shards:
        try:
            _check_file(path.parent / shard.file, fresh, shard.sha256)
        except StoreError as error:
            damaged.append(str(error))
    if damaged:
        raise StoreError(f"{path}: {len(damaged):,} of {len(shards):,} shards are damaged:\n{listing(damaged)}")
    vector = _vectors(path, found)
    size = files.chunk_rows(vector.shape[1])
    for start in range(0, len(vector), size):
        if not np.isfinite(vector[start : start + size]).all():
            raise StoreError(f"{path}: holds values that are not finite; delete it and run extract again")


def holds(path: Place, rows: Rows, shard_rows: int = SHARD_ROWS) -> bool:
    """Whether a published split has exactly these rows: ids, labels, contents, fingerprint and dropped memes, in
    shards of this size where there are so many; and whether all its shards are there."""
    if not path.exists():
        return False
    found = files.opened(path)
    old, shards = found.rows, [Shard(**shard) for shard in found.shards]
    return (
        old.fingerprint == rows.fingerprint
        and old.dropped == rows.dropped
        and all(
            np.array_equal(getattr(old, name), np.asarray(getattr(rows, name))) for name in ("ids", "label", "content")
        )
        and [shard.rows for shard in shards] == sizes_of(len(rows), shard_rows)
        and all(shard.intact(path) for shard in shards)
    )


def vector_files(folder: Place) -> Iterator[Place]:
    """Every file of an encoder's folder that holds vectors: whole splits and shards, also those that no index names."""
    for path in places.glob(folder, "[!.]*.h5"):
        if not files.is_index(path):
            yield path
    yield from places.glob(folder, "[!.]*/[!.]*.h5")


def sweep_shards(path: Place) -> None:
    """Remove the shards beside a published split that its index does not name."""
    folder = path.with_suffix("")
    there = places.glob(folder, "[!.]*.h5")
    if there:
        named = {Path(shard["file"]).name for shard in files.opened(path).shards}
        for shard in there:
            if shard.name not in named:
                shard.unlink(missing_ok=True)
    if isinstance(folder, Path) and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _check_file(path: Place, fresh: bool, sha256: str | None = None) -> None:
    if fresh and isinstance(path, Remote):
        path.forget()
    files.check_seal(path, sha256)


def _vectors(path: Place, found: files.Opened) -> Vectors:
    rows, dim = found.shape
    if not found.shards:
        return files.mapped(places.local(path), found.offset, (rows, dim))
    shards = [Shard(**shard) for shard in found.shards]
    if sum(shard.rows for shard in shards) != rows:
        raise StoreError(f"{path}: its shards have other rows than its index; delete it and run extract again")
    lazy = Shards([ShardMap(path, shard, dim) for shard in shards], dim)
    return lazy if isinstance(path, Remote) else lazy.map_all()


def _blocks(vector: Vectors, rows: np.ndarray, size: int = 8192) -> Iterator[Block]:
    for start in range(0, len(rows), size):
        yield np.arange(start, min(start + size, len(rows))), vector[rows[start : start + size]]
