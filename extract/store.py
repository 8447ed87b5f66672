"""The HDF5 schema: publish a split's vectors whole or not at all, read them back, join text and image by id.

One file is one split under one encoder, `features/<encoder>/<split>.h5`: datasets `id`, `vector`, `label`, `content`
(and `tokens` for texts), everything else as attributes. The first 512 bytes (an HDF5 user block, which readers skip)
hold the sha256 of all the bytes that follow, so that `verify` finds any flipped or missing byte.
Needs only h5py and numpy.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from extract.errors import Failed, Refused, listing

SCHEMA = 1
USER_BLOCK = 512  # bytes
SEAL = b"memefuse sha256 "
NO_LABEL = -1
CHUNK = 1 << 24  # bytes of vectors that are read at a time
WORDS = ("encoder", "kind", "split", "fingerprint")  # attributes that are text
STRUCTURES = ("settings", "versions", "dropped")  # and those that are JSON
Block = tuple[np.ndarray, np.ndarray]  # row numbers [n] int64, vectors [n, D] float32


class StoreError(Failed):
    """A features file that is damaged, incomplete or contradicts another."""


class StoreIncomplete(StoreError):
    """Rows that were never written, or values that are not finite."""


@dataclass(frozen=True)
class Rows:
    """A published split's rows, all but their vectors."""

    encoder: str  # the folder's name
    kind: str  # "text" or "image"
    split: str  # "train", "dev", "dev_seen", ...
    ids: np.ndarray  # [N] text
    label: np.ndarray  # [N] int8, -1 where there is none
    content: np.ndarray  # [N] S64: sha256 of the text or of the image file, in hex
    fingerprint: str  # equal fingerprints mean comparable vectors
    settings: dict[str, Any]  # what the fingerprint covers
    versions: dict[str, str]  # of the libraries that encoded
    dropped: list[dict[str, str]]  # memes left out: id and reason
    tokens: np.ndarray | None = None  # [N] int32, texts only: word pieces before truncation

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True)
class Features(Rows):
    """A published split: its rows and their vectors."""

    vector: np.ndarray  # [N, D] float32; as read, a read-only map of the file


@dataclass(frozen=True)
class Pairs:
    """Text and image features joined by id, in the text file's order: row i of every array is one meme."""

    text: Features
    image: Features
    ids: np.ndarray  # [N] text
    label: np.ndarray  # [N] int8, -1 where there is none
    text_rows: np.ndarray  # [N] int64, rows of `text`
    image_rows: np.ndarray  # [N] int64, rows of `image`
    without_image: list[str]  # ids that only the text file has
    without_text: list[str]  # ids that only the image file has

    @property
    def split(self) -> str:
        return self.text.split

    @property
    def text_vec(self) -> np.ndarray:  # [N, D_text] float32
        return _take(self.text.vector, self.text_rows)

    @property
    def image_vec(self) -> np.ndarray:  # [N, D_image] float32
        return _take(self.image.vector, self.image_rows)

    @property
    def text_content(self) -> np.ndarray:  # [N] S64
        return self.text.content[self.text_rows]

    @property
    def image_content(self) -> np.ndarray:  # [N] S64
        return self.image.content[self.image_rows]

    @property
    def tokens(self) -> np.ndarray | None:  # [N] int32
        return None if self.text.tokens is None else self.text.tokens[self.text_rows]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class EncoderFolder:
    """`features/<encoder>`: which kind of vectors it holds, for which splits."""

    name: str
    kind: str  # "text" or "image"
    pooling: str  # "cls", "pooled", "grid", ...; empty where its files do not say
    splits: dict[str, Path]


def fingerprint(settings: dict[str, Any]) -> str:
    """sha256 (hex) of everything that changes a number, this schema included."""
    return hashlib.sha256(json.dumps({**settings, "schema": SCHEMA}, sort_keys=True).encode()).hexdigest()


def publish(path: Path, features: Features) -> None:
    """Write vectors that are in memory, verified and by rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        write(aside, features, [(np.arange(len(features)), features.vector)], features.vector.shape[1])


def write(path: Path, rows: Rows, blocks: Iterable[Block], dim: int) -> None:
    """Write a split to `path`, which nobody reads yet (see `replacing`), its vectors streamed in any order.

    blocks: row numbers [n] and their vectors [n, dim]; a row may be written twice.
    Raises StoreIncomplete when a row is never written or a value is not finite, OSError when the disk refuses.
    """
    try:
        offset = _write_rows(path, rows, dim)
    except (OSError, RuntimeError) as error:  # h5py raises either, with a page of its own words around the reason
        reason = re.search(r"errno = (\d+), error message = '([^']*)'", str(error))
        raise OSError(int(reason[1]), reason[2]) if reason else error from None
    _scatter(path, offset, dim, rows, blocks)
    _seal(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success sync it and rename it over `path`, else remove it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _write_rows(path: Path, rows: Rows, dim: int) -> int:
    """Create the file with everything but vectors; return the byte offset at which vectors start."""
    allocated = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    allocated.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    ids = np.char.encode(np.asarray(rows.ids, dtype=np.str_), "utf-8")
    # latest: its metadata carries checksums, and no time stamp makes two equal runs differ
    with h5py.File(path, "w", libver="latest", userblock_size=USER_BLOCK) as file:
        file.create_dataset("id", data=ids.astype(h5py.string_dtype("utf-8", max(1, ids.dtype.itemsize))))
        file.create_dataset("label", data=np.asarray(rows.label, dtype=np.int8))
        file.create_dataset("content", data=np.asarray(rows.content, dtype="S64"))
        if rows.tokens is not None:
            file.create_dataset("tokens", data=np.asarray(rows.tokens, dtype=np.int32))
        vector = file.create_dataset("vector", shape=(len(rows), dim), dtype="<f4", dcpl=allocated)
        file.attrs["schema"] = SCHEMA
        for name in WORDS:
            file.attrs[name] = getattr(rows, name)
        for name in STRUCTURES:
            file.attrs[name] = json.dumps(getattr(rows, name), sort_keys=True, ensure_ascii=False)
        return vector.id.get_offset()


def _scatter(path: Path, offset: int, dim: int, rows: Rows, blocks: Iterable[Block]) -> None:
    """Write vectors to their rows, then prove that none is missing."""
    written = np.zeros(len(rows), dtype=bool)
    with open(path, "r+b") as file:
        for numbers, vectors in blocks:
            data = np.ascontiguousarray(vectors, dtype="<f4")
            bad = ~np.isfinite(data).all(axis=1)
            if bad.any():
                names = [str(rows.ids[number]) for number in np.asarray(numbers)[bad]]
                raise StoreIncomplete(f"{bad.sum():,} vectors of {rows.split} are not finite; first: {_first(names)}")
            for number, row in zip(numbers, data, strict=True):
                # written by offset, not mapped: memory stays flat however many rows there are
                os.pwrite(file.fileno(), row.tobytes(), offset + int(number) * dim * 4)
            written[numbers] = True
    if not written.all():
        names = [str(name) for name in rows.ids[~written]]
        raise StoreIncomplete(f"{len(names):,} of {len(rows):,} rows never written; first: {_first(names)}")


def _seal(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(USER_BLOCK)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        file.write((SEAL + digest.encode() + b"\n").ljust(USER_BLOCK, b"\0"))


def verify(path: Path) -> None:
    """Check that no byte of a published file has changed and that every value is finite.

    Raises StoreError, naming the file and what is wrong.
    """
    with open(path, "rb") as file:
        head = file.read(USER_BLOCK)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if head != (SEAL + digest.encode() + b"\n").ljust(USER_BLOCK, b"\0"):
        raise StoreError(f"{path}: its bytes do not match its sha256; delete it and run extract again")
    read(path)  # schema and lengths
    for _, vectors in chunks(path):
        if not np.isfinite(vectors).all():
            raise StoreError(f"{path}: holds values that are not finite; delete it and run extract again")


def read(path: Path) -> Features:
    """Open a published split. Vectors stay on disk and are mapped, so this is quick at any size.

    Raises StoreError when the file is missing, cut short, of another schema or inconsistent.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != SCHEMA:
                found = file.attrs.get("schema", "none")
                raise StoreError(f"{path}: schema {found}, this version reads schema {SCHEMA}; run extract again")
            attributes: dict[str, Any] = {name: str(file.attrs[name]) for name in WORDS}
            attributes |= {name: json.loads(file.attrs[name]) for name in STRUCTURES}
            features = Features(
                **attributes,
                ids=np.char.decode(file["id"][:].astype(np.bytes_), "utf-8"),
                label=file["label"][:],
                content=file["content"][:].astype("S64"),
                tokens=file["tokens"][:] if "tokens" in file else None,
                vector=_mapped(path, file["vector"]),
            )
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; run extract") from None
    except (OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); delete it and run extract again") from None
    lengths = {len(features.ids), len(features.label), len(features.content), len(features.vector)}
    if len(lengths) != 1:
        raise StoreError(f"{path}: its datasets have different lengths {sorted(lengths)}; run extract again")
    return features


def holds(path: Path, rows: Rows) -> bool:
    """Whether a published file has exactly these rows: ids, labels, contents, fingerprint and dropped memes."""
    if not path.exists():
        return False
    old = read(path)
    return (
        old.fingerprint == rows.fingerprint
        and old.dropped == rows.dropped
        and all(
            np.array_equal(getattr(old, name), np.asarray(getattr(rows, name))) for name in ("ids", "label", "content")
        )
    )


def _mapped(path: Path, vector: h5py.Dataset) -> np.ndarray:
    if vector.size == 0:
        return np.empty(vector.shape, dtype=np.float32)
    return np.memmap(path, dtype="<f4", mode="r", offset=vector.id.get_offset(), shape=vector.shape)


def chunks(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """A file's vectors, read and not mapped, CHUNK bytes at a time: memory stays flat.

    Yields first row, vectors [n, D].
    """
    with h5py.File(path, "r") as file:
        vector = file["vector"]
        rows = max(1, CHUNK // max(1, 4 * vector.shape[1]))
        for start in range(0, len(vector), rows):
            yield start, vector[start : start + rows]


def encoders(features: Path, tests: bool = True) -> dict[str, EncoderFolder]:
    """What a features folder holds, by encoder; without `tests` as if it held no test split, and none is opened.

    Raises Refused when there is no such folder.
    """
    if not features.is_dir():
        raise Refused(f"no features folder {features}; run: python -m extract --features {features}")
    found: dict[str, EncoderFolder] = {}
    for folder in sorted(path for path in features.iterdir() if path.is_dir()):
        files = {path.stem: path for path in sorted(folder.glob("*.h5")) if not path.name.startswith(".")}
        files = {split: path for split, path in files.items() if tests or not split.startswith("test")}
        if files:
            first = read(next(iter(files.values())))
            found[folder.name] = EncoderFolder(folder.name, first.kind, str(first.settings.get("pooling", "")), files)
    return found


def split_path(folder: EncoderFolder, split: str) -> Path:
    """The file of a split; `dev` takes dev.h5, else dev_seen.h5, likewise `test`. Raises Refused without either."""
    for name in (split, f"{split}_seen"):
        if name in folder.splits:
            return folder.splits[name]
    raise Refused(
        f"features of {folder.name} have no split {split}, only {', '.join(folder.splits)}; "
        f"run: python -m extract --split {split}"
    )


def join(text: Features, image: Features) -> Pairs:
    """Join by id, never by position.

    Raises StoreError when an id occurs twice on one side or the two sides give a meme different labels.
    """
    for side in (text, image):
        names, counts = np.unique(side.ids, return_counts=True)
        if (counts > 1).any():
            twice = [str(name) for name in names[counts > 1]]
            raise StoreError(f"{side.encoder}/{side.split}: {len(twice):,} ids occur twice; first: {_first(twice)}")
    where = {name: row for row, name in enumerate(image.ids.tolist())}
    matched = [(row, where[name]) for row, name in enumerate(text.ids.tolist()) if name in where]
    text_rows, image_rows = np.array(matched, dtype=np.int64).reshape(-1, 2).T
    ids = text.ids[text_rows]
    differ = text.label[text_rows] != image.label[image_rows]
    if differ.any():
        lines = [
            f"{ids[i]}  {text.encoder}: {text.label[text_rows[i]]}, {image.encoder}: {image.label[image_rows[i]]}"
            for i in np.flatnonzero(differ)
        ]
        raise StoreError(
            f"{len(lines):,} of {len(ids):,} memes of {text.split} have different labels in the two files.\n"
            f"{listing(lines)}\nRun extract again for both encoders on the same data."
        )
    return Pairs(
        text=text,
        image=image,
        ids=ids,
        label=text.label[text_rows],
        text_rows=text_rows,
        image_rows=image_rows,
        without_image=sorted(set(text.ids.tolist()) - set(ids.tolist())),
        without_text=sorted(set(image.ids.tolist()) - set(ids.tolist())),
    )


def _take(vector: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows of a map; the map itself when they are all its rows in order, so that nothing is copied."""
    return vector if np.array_equal(rows, np.arange(len(vector))) else vector[rows]


def _first(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
