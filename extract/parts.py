"""Part files, and the index of everything that an encoder's folder holds already.

A part is a `store` file like any other, whose ids are its contents:
`features/<encoder>/.parts/<fingerprint>/<name>.h5`.
"""

import importlib.metadata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from extract import locks, places, store
from extract.errors import Failed
from extract.places import Place, Remote
from extract.plan import Part

# whose arithmetic is in a vector
LIBRARIES = {"text": ("memefuse", "torch", "transformers"), "image": ("memefuse", "torch", "torchvision", "pillow")}


def library_versions(kind: str) -> dict[str, str]:
    """Library -> version, on this machine. kind: "text" or "image"."""
    return {library: _version(library) for library in LIBRARIES[kind]}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a checkout


def parts_name(fingerprint: str) -> str:
    """Of the folder of a fingerprint's parts."""
    return fingerprint[:16]


@dataclass(frozen=True)
class Folder:
    """`features/<encoder>` for one fingerprint: where its published files and its parts lie."""

    path: Place
    kind: str  # "text" or "image"
    settings: dict[str, Any]  # what the fingerprint covers
    versions: dict[str, str]  # of the libraries that encode now

    @property
    def fingerprint(self) -> str:
        return store.fingerprint(self.settings)

    def identity(self, dim: int, versions: dict[str, str]) -> store.EncoderIdentity:
        """Of the encoder whose vectors it holds. versions: of the libraries that encoded them."""
        return store.EncoderIdentity(self.kind, self.path.name, dim, self.fingerprint, self.settings, versions)

    @property
    def parts(self) -> Place:
        return self.path / ".parts" / parts_name(self.fingerprint)

    def part_file(self, part: Part) -> Place:
        return self.parts / f"{part.name}.h5"

    def published(self, split: str) -> Place:
        return self.path / f"{split}.h5"

    def write(self, part: Part, vectors: np.ndarray, tokens: np.ndarray | None = None) -> None:
        """Land a part by write-then-rename. vectors: [n, D] float32; tokens: [n] int32, texts only."""
        contents = np.array([item.content for item in part.items])
        features = store.Features(
            identity=self.identity(vectors.shape[1], self.versions),
            split="part",
            ids=contents,
            label=np.full(len(contents), store.NO_LABEL, dtype=np.int8),
            content=contents.astype("S64"),
            dropped=[],
            tokens=tokens,
            vector=vectors,
        )
        with self.writing():
            store.publish(self.part_file(part), features)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what a disk can refuse (no room, no permission) into Failed; finished parts stay where they are."""
        try:
            yield
        except OSError as error:
            raise Failed(
                f"{self.path} cannot be written: {error}.\n"
                "Finished parts are kept: make room and run the same command again."
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other extraction out of this folder; the lock ends with the process, however it ends.

        Raises Refused when another extraction is at work here, or when the folder cannot be written.
        """
        places.refuse_unreachable(self.path)
        with locks.locked(self.path, "another extraction", "--features"):
            self.sweep_torn()
            yield

    def sweep_torn(self) -> None:
        """Delete what writers that were killed have left half written. Only while no writer is at work."""
        if isinstance(self.path, Remote):  # elsewhere nothing lands in halves
            return
        for pattern in (".*.tmp", "*/.*.tmp", ".parts/*/.*.tmp"):
            for leftover in self.path.glob(pattern):
                leftover.unlink(missing_ok=True)


@dataclass
class Held:
    """Contents that have a vector under this fingerprint already, and where."""

    files: list[Place] = field(default_factory=list)
    where: dict[str, tuple[int, int]] = field(default_factory=dict)  # content -> file, row
    tokens: dict[str, int] = field(default_factory=dict)  # content -> word pieces, texts only
    versions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    damaged: set[Place] = field(default_factory=set)  # published files that no vector is taken from
    dim: int | None = None

    @classmethod
    def scan(cls, folder: Folder, damaged: Collection[Place] = ()) -> "Held":
        """Index parts and published files, but those known to be damaged. A part that is damaged is deleted: it will be
        encoded again. A published file stays until its split is written."""
        held = cls(damaged=set(damaged))
        for path in places.glob(folder.parts, "[!.]*.h5"):
            try:
                store.check_seal(path)
                held.add(store.read_rows(path), path)
            except store.StoreError:
                path.unlink()
        for path in store.split_files(folder.path):
            try:
                opened = None if path in held.damaged else store.open_file(path)
            except store.OtherSchema:
                raise
            except store.StoreError:
                held.damaged.add(path)
                continue
            if opened and not opened.shards and opened.rows.identity.fingerprint == folder.fingerprint:
                held.add(opened.rows, path)
        return held

    def sound(self, folder: Folder, contents: Collection[str], splits: Collection[str]) -> "Held":
        """What is left of this for a run that will copy these contents' vectors: no vector comes from a file that has a
        byte flipped. Published files of these splits, or that hold one of the contents, are read in full; parts are by
        `scan`."""
        held, checked = self, {path for path in self.files if path.parent == folder.parts}
        own = {path for path in self.files for split in splits if _belongs(path, folder.published(split))}
        while new := (held.sources(contents) | own) - checked:
            damaged = {path for path in new if not _intact(path)}
            checked |= new
            if damaged:
                held = Held.scan(folder, held.damaged | damaged)
        return held

    def damage(self, published: Place) -> set[Place]:
        """The damaged files of a split: its own, or its shards."""
        return {path for path in self.damaged if _belongs(path, published)}

    def sources(self, contents: Collection[str]) -> set[Place]:
        """The files that these contents' vectors would be copied from."""
        return {self.files[number] for number in {self.where[each][0] for each in contents if each in self.where}}

    def add(self, features: store.SplitRows, path: Place) -> None:
        self.files.append(path)
        self.dim = features.identity.dim
        contents = features.content.astype(str).tolist()
        for row, content in enumerate(contents):
            self.where.setdefault(content, (len(self.files) - 1, row))
        if features.tokens is not None:
            self.tokens.update(zip(contents, features.tokens.tolist(), strict=True))
        for library, version in features.identity.versions.items():
            self.versions[library].update(version.split(", "))

    def __contains__(self, content: object) -> bool:
        return content in self.where

    def blocks(self, contents: Sequence[str]) -> Iterator[store.Block]:
        """The vectors of these contents, file by file: row numbers (positions in `contents`) and vectors."""
        wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, content in enumerate(contents):
            if content in self.where:
                file, row = self.where[content]
                wanted[file].append((row, number))
        for file, pairs in wanted.items():
            rows, numbers = np.array(sorted(pairs)).T
            for start, vectors in store.chunks(self.files[file], rows):
                here = slice(*np.searchsorted(rows, (start, start + len(vectors))))
                if here.start < here.stop:
                    yield numbers[here], vectors[rows[here] - start]


def _belongs(path: Place, published: Place) -> bool:
    """Whether a file is a split's own, or one of its shards."""
    return published in (path, path.parent.with_suffix(".h5"))


def _intact(path: Place) -> bool:
    try:
        store.check_seal(path)
    except store.StoreError:
        return False
    return True


def sweep_parts(folder: Folder, settled: Collection[str] = ()) -> None:
    """Delete the parts whose every content is in a published file of their fingerprint, or settled: published or left
    out by this run; and all parts of fingerprints of which nothing is published, or not any more.

    Only while the folder is locked: another run's parts would go.
    """
    published = defaultdict(set, {folder.parts.name: set(settled)})
    for path in places.glob(folder.path, "[!.]*.h5"):
        with suppress(store.StoreError):
            rows = store.read_rows(path)
            published[parts_name(rows.identity.fingerprint)].update(rows.content.astype(str).tolist())
    for path in places.glob(folder.path, ".parts/*/[!.]*.h5"):
        contents = published.get(path.parent.name)
        with suppress(store.StoreError):
            if contents is None or contents.issuperset(store.read_rows(path).ids.tolist()):
                path.unlink()
    if isinstance(folder.path, Path):
        for empty in (*folder.path.glob(".parts/*"), folder.path / ".parts"):
            with suppress(OSError):
                empty.rmdir()
