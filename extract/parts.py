"""Part files, and the index of everything that an encoder's folder holds already.

A part is a `store` file like any other, whose ids are its contents:
`features/<encoder>/.parts/<fingerprint>/<name>.h5`.
"""

import importlib.metadata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from extract import locks, places, store
from extract.errors import Failed
from extract.places import Place, Remote
from extract.plan import Part
from extract.progress import say

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
        return self.path / ".parts" / self.fingerprint[:16]

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
            store.publish(self.parts / f"{part.name}.h5", features)

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
    dim: int | None = None

    @classmethod
    def scan(cls, folder: Folder) -> "Held":
        """Index parts and published files. A part that is damaged is deleted: it will be encoded again."""
        held = cls()
        for path in places.glob(folder.parts, "*.h5"):
            try:
                store.verify(path)
                held.add(store.read(path), path)
            except store.StoreError:
                path.unlink()
        for path in store.vector_files(folder.path):
            features = store.read(path)
            if features.identity.fingerprint == folder.fingerprint:
                held.add(features, path)
        return held

    @classmethod
    def sound(cls, folder: Folder, contents: Collection[str]) -> "Held":
        """As `scan`, for a run that will copy these contents' vectors: no vector comes from a file that has a byte
        flipped. Published files that hold one of them are read in full; those that are damaged are deleted, too."""
        held, checked = cls.scan(folder), set[Place]()
        while new := held.sources(contents) - checked:
            damaged = [path for path in sorted(new, key=str) if not _intact(path)]
            checked |= new
            if damaged:
                for path in damaged:
                    say(f"{path} is damaged: its bytes do not match its sha256. It is deleted and encoded again")
                    path.unlink()
                held = cls.scan(folder)
        return held

    def sources(self, contents: Collection[str]) -> set[Place]:
        """The files that these contents' vectors would be copied from."""
        return {self.files[number] for number in {self.where[each][0] for each in contents if each in self.where}}

    def add(self, features: store.Features, path: Place) -> None:
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


def _intact(path: Place) -> bool:
    try:
        store.check_seal(path)
    except store.StoreError:
        return False
    return True


def sweep_parts(folder: Folder) -> None:
    """Delete the parts whose every content is in a published file, and those of other fingerprints' finished runs."""
    published: set[str] = set()
    for path in places.glob(folder.path, "*.h5"):
        rows = store.read_rows(path)
        if rows.identity.fingerprint == folder.fingerprint:
            published.update(rows.content.astype(str).tolist())
    for path in places.glob(folder.parts, "*.h5"):
        if published.issuperset(store.read_rows(path).ids.tolist()):
            path.unlink()
    for empty in (folder.parts, folder.parts.parent):
        if isinstance(empty, Path) and empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
