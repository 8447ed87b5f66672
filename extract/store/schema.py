"""What a published file holds, as types, and what can be wrong with it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from extract.errors import Failed

SCHEMA = 1  # of a file that holds vectors
SHARDED = 2  # of a file whose vectors lie in shards beside it
NO_LABEL = -1
Block = tuple[np.ndarray, np.ndarray]  # row numbers [n] int64, vectors [n, D] float32


class StoreError(Failed):
    """A features file that is damaged, incomplete or contradicts another."""


class OtherSchema(StoreError):
    """A sound file of a schema that this version does not know: no damage, and not to be replaced."""


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

    @classmethod
    def from_json(cls, kind: str, value: dict[str, Any]) -> "EncoderIdentity":
        """The inverse of `to_json`; older files hold no kind. Raises KeyError where anything else is missing."""
        names = ("name", "dim", "fingerprint", "settings", "versions")
        return cls(value.get("kind", kind), *(value[name] for name in names))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def sum_of(cls, parts: "Sequence[EncoderIdentity]") -> "EncoderIdentity":
        """Of vectors of several encoders of one kind side by side; one alone stays what it is."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            parts[0].kind,
            "+".join(part.name for part in parts),
            sum(part.dim for part in parts),
            fingerprint({"sum": [part.fingerprint for part in parts]}),
            {"sum": [part.to_json() for part in parts]},
            dict(version for part in parts for version in part.versions.items()),
        )

    @property
    def parts(self) -> "list[EncoderIdentity]":
        """The encoders that a sum is made of, in the order of its columns; itself where it is none."""
        return [EncoderIdentity.from_json(self.kind, part) for part in self.settings.get("sum", [])] or [self]

    @property
    def pooling(self) -> str:
        """ "cls", "pooled", "grid", ...; empty where its files do not say."""
        return str(self.settings.get("pooling", ""))


class Lazy:
    """[N, D] float32 on disk. Indexed like an array by a row, a slice or row numbers, it gives the rows in memory."""

    dtype = np.dtype(np.float32)
    ndim = 2
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            rows, columns = key
            if isinstance(rows, slice) and isinstance(columns, slice) and not range(self.shape[1])[columns]:
                # what a head asks of the side that it does not look at: all rows, and nothing of them
                return np.empty((len(range(len(self))[rows]), 0), self.dtype)
            return self[rows][..., columns]
        if isinstance(key, slice):
            return self._rows(np.arange(*key.indices(len(self))))
        numbers = np.asarray(key)
        if numbers.dtype == bool:
            numbers = np.flatnonzero(numbers)
        if numbers.size and not (-len(self) <= numbers.min() and numbers.max() < len(self)):
            raise IndexError(f"row {numbers.max()} of {len(self):,}")
        rows = self._rows(np.atleast_1d(np.where(numbers < 0, numbers + len(self), numbers)).astype(np.int64))
        return rows if numbers.ndim else rows[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        raise NotImplementedError


Vectors = np.ndarray | Lazy


@dataclass(frozen=True)
class SplitRows:
    """A published split's rows, all but their vectors."""

    identity: EncoderIdentity
    split: str  # "train", "dev", "dev_seen", ...
    ids: np.ndarray  # [N] text
    label: np.ndarray  # [N] int8, -1 where there is none
    content: np.ndarray  # [N] S64: sha256 of the text or of the image file, in hex
    dropped: list[dict[str, str]]  # memes left out: id and reason
    tokens: np.ndarray | None = None  # [N] int32, texts only: word pieces before truncation

    def __len__(self) -> int:
        return len(self.ids)

    def between(self, start: int, stop: int) -> "SplitRows":
        """Rows from `start` to before `stop`, without the list of memes left out."""
        tokens = None if self.tokens is None else self.tokens[start:stop]
        rows = {name: getattr(self, name)[start:stop] for name in ("ids", "label", "content")}
        return replace(self, **rows, tokens=tokens, dropped=[])


@dataclass(frozen=True, kw_only=True)
class Features(SplitRows):
    """A published split: its rows and their vectors."""

    vector: Vectors  # [N, D] float32; as read, a read-only map of the file, or of each shard


def fingerprint(settings: dict[str, Any]) -> str:
    """sha256 (hex) of everything that changes a number, this schema included."""
    return hashlib.sha256(json.dumps({**settings, "schema": SCHEMA}, sort_keys=True).encode()).hexdigest()
