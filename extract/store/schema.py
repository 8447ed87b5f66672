"""What a published file holds, and what can be wrong with it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from extract.errors import Failed
from extract.store.arrays import Vectors

SCHEMA = 1  # of a file that holds vectors
SHARDED = 2  # of a file whose vectors lie in shards beside it
NO_LABEL = -1
WORDS = ("encoder", "kind", "split", "fingerprint")  # attributes that are text
STRUCTURES = ("settings", "versions", "dropped")  # and those that are JSON
Block = tuple[np.ndarray, np.ndarray]  # row numbers [n] int64, vectors [n, D] float32


class StoreError(Failed):
    """A features file that is damaged, incomplete or contradicts another."""


class StoreIncomplete(StoreError):
    """Rows that were never written, or values that are not finite."""


@dataclass(frozen=True)
class EncoderIdentity:
    """What made one side's vectors: written to HDF5 attributes and to JSON, and read back from both as this type."""

    kind: str  # "text" or "image"
    name: str  # its folder under features/
    dim: int
    fingerprint: str  # equal fingerprints mean comparable vectors
    settings: dict[str, Any]  # what the fingerprint covers
    versions: dict[str, str]  # of the libraries that encoded

    @property
    def pooling(self) -> str:
        """ "cls", "pooled", "grid", ...; empty where its files do not say."""
        return str(self.settings.get("pooling", ""))


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

    def between(self, start: int, stop: int) -> "Rows":
        """Rows from `start` to before `stop`, without the list of memes left out."""
        tokens = None if self.tokens is None else self.tokens[start:stop]
        rows = {name: getattr(self, name)[start:stop] for name in ("ids", "label", "content")}
        return replace(self, **rows, tokens=tokens, dropped=[])


@dataclass(frozen=True, kw_only=True)
class Features(Rows):
    """A published split: its rows and their vectors."""

    vector: Vectors  # [N, D] float32; as read, a read-only map of the file, or of each shard

    @property
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity(
            self.kind, self.encoder, self.vector.shape[1], self.fingerprint, self.settings, self.versions
        )


def fingerprint(settings: dict[str, Any]) -> str:
    """sha256 (hex) of everything that changes a number, this schema included."""
    return hashlib.sha256(json.dumps({**settings, "schema": SCHEMA}, sort_keys=True).encode()).hexdigest()


def first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
