"""A split's memes as a model reads them, and batches of them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from extract import images
from extract.errors import Failed
from extract.places import Source

PAD_TO = 8  # word pieces: batches are padded to a multiple of this
NO_LABEL = -1


@runtime_checkable
class Column(Protocol):
    """Anything that has an entry for each meme."""

    def __getitem__(self, row: int) -> Any: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Memes:
    """Memes of one split. Row i of everything is the same meme.

    columns: "text_vec" [n, text_dim], "image_vec" [n, image_dim], "grid" [n, cells, channels] (all float32),
    "input_ids" (lists of word pieces, specials included) and "pixels" ([3, 224, 224] uint8 each); those that are used.
    """

    split: str
    ids: np.ndarray  # [n] text
    label: Int[np.ndarray, " n"]  # -1 where there is none
    group: Int[np.ndarray, " n"]  # memes of equal text share a number
    content: Shaped[np.ndarray, "n sides"]  # S64: sha256 of the text and of the image file, in hex
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {name: column[row] for name, column in self.columns.items()} | {"labels": int(self.label[row])}

    def array(self, name: str) -> np.ndarray:
        """A column as one array."""
        return np.stack([self.columns[name][row] for row in range(len(self))])

    def take(self, rows: Int[np.ndarray, " m"]) -> "Memes":
        """Some rows, in the order given."""
        columns = {name: Rows(column, rows) for name, column in self.columns.items()}
        picked = {name: getattr(self, name)[rows] for name in ("ids", "label", "group", "content")}
        return replace(self, columns=columns, **picked)

    def digest(self) -> str:
        """sha256 of what its figures are of: ids, labels, texts and images."""
        named = "\0".join([*self.ids.tolist(), *map(str, self.label.tolist())])
        return hashlib.sha256(named.encode() + b"\0" + self.content.tobytes()).hexdigest()


def digest_of(splits: Sequence[Memes]) -> str:
    """sha256 of all memes that figures can be of: splits without any label are passed over."""
    found = {memes.split: memes.digest() for memes in splits if (memes.label != NO_LABEL).any()}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Rows:
    """Some rows of a column."""

    column: Column
    rows: Int[np.ndarray, " m"]

    def __getitem__(self, row: int) -> Any:
        return self.column[int(self.rows[row])]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Grids:
    """Stage 1's grids, each as its cells, read when one is asked for."""

    vector: Column  # [n] of [cells * channels]
    cells: int

    def __getitem__(self, row: int) -> Float[np.ndarray, "cells channels"]:
        return np.asarray(self.vector[row]).reshape(self.cells, -1)

    def __len__(self) -> int:
        return len(self.vector)


@dataclass(frozen=True)
class Pictures:
    """Images, decoded as stage 1 does, whenever one is asked for."""

    sources: Sequence[Source]

    def __getitem__(self, row: int) -> UInt8[np.ndarray, "3 224 224"]:
        try:
            return images.decode(self.sources[row].read_bytes()).transpose(2, 0, 1)
        except (images.Undecodable, OSError) as error:
            raise Failed(f"{self.sources[row]}: {error}") from None

    def __len__(self) -> int:
        return len(self.sources)


def collate(memes: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows as a batch of tensors; word pieces are padded, with "attention_mask" 1 where there are some."""
    batch = {name: stacked([meme[name] for meme in memes]) for name in memes[0] if name != "input_ids"}
    if "input_ids" in memes[0]:
        batch["input_ids"], batch["attention_mask"] = padded([meme["input_ids"] for meme in memes])
    return batch


def stacked(values: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(value) for value in values]))


def padded(token_ids: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, "batch tokens"]]:
    """Word pieces and their mask. Padding is masked out, so any id does: 0."""
    longest = max(len(ids) for ids in token_ids)
    length = -(-max(longest, 1) // PAD_TO) * PAD_TO
    ids = torch.zeros(len(token_ids), length, dtype=torch.int64)
    for row, pieces in zip(ids, token_ids, strict=True):
        row[: len(pieces)] = torch.tensor(list(pieces), dtype=torch.int64)
    return ids, (torch.arange(length) < torch.tensor([len(pieces) for pieces in token_ids])[:, None]).long()


def undersampled(label: Int[np.ndarray, " n"], seed: int = 0) -> Int[np.ndarray, " m"]:
    """Rows with as many memes of the larger class as of the smaller, in their order."""
    rows = [np.flatnonzero(label == value) for value in (0, 1)]
    smaller, larger = sorted(rows, key=len)
    kept = np.random.default_rng(seed).choice(larger, len(smaller), replace=False)
    return np.sort(np.concatenate([smaller, kept]))
