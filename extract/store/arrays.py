"""Vectors that stay on disk: arrays that read only the rows asked for."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np


class Mapped(Protocol):
    """One shard of vectors."""

    @property
    def rows(self) -> int: ...
    def map(self) -> np.ndarray: ...  # [rows, D] float32, read-only


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
        found = self._rows(np.atleast_1d(np.where(numbers < 0, numbers + len(self), numbers)).astype(np.int64))
        return found if numbers.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Shards(Lazy):
    """Shards one after the other. Each is mapped at its first use."""

    def __init__(self, shards: Sequence[Mapped], dim: int) -> None:
        self.ends = np.cumsum([shard.rows for shard in shards])
        self.shape = int(self.ends[-1]), dim
        self.mapped = cache(lambda number: shards[number].map())

    def map_all(self) -> "Shards":
        """Map them now: what is mapped stays readable when a later run replaces the files."""
        for number in range(len(self.ends)):
            self.mapped(number)
        return self

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        found = np.empty((len(numbers), self.shape[1]), np.float32)
        shard = np.searchsorted(self.ends, numbers, side="right")
        for number in np.unique(shard):
            here = shard == number
            start = self.ends[number - 1] if number else 0
            found[here] = self.mapped(int(number))[numbers[here] - start]
        return found


class Taken(Lazy):
    """Some rows of `vector`, in an order of their own."""

    def __init__(self, vector: "Vectors", rows: np.ndarray) -> None:
        self.vector, self.rows = vector, rows
        self.shape = len(rows), vector.shape[1]

    def _rows(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self.vector[self.rows[numbers]], np.float32)


Vectors = np.ndarray | Lazy
