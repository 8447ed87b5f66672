"""Memes as vectors: rows that may lie on disk, their standardisation, and the batches of an epoch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from heads.settings import HeadSettings

BLOCK = 4096  # rows read from a memory-mapped array at a time


@dataclass(frozen=True)
class Rows:
    """Memes of one split. Row i of all three is the same meme.

    Vectors are tensors or NumPy arrays; memory-mapped ones are read in blocks and never copied whole in float32.
    """

    text_vec: Any  # [n, text_dim] float
    image_vec: Any  # [n, image_dim] float
    label: Any  # [n] whole numbers: 1 hateful, 0 not, -1 unknown

    def __post_init__(self) -> None:
        """Raise ValueError if the three differ in length."""
        counts = len(self.text_vec), len(self.image_vec), len(self.label)
        if len(set(counts)) != 1:
            raise ValueError(
                "{:,} text vectors, {:,} image vectors and {:,} labels are not one meme each".format(*counts)
            )

    def __len__(self) -> int:
        return len(self.label)

    def labels(self) -> Int[Tensor, " n"]:
        """The labels as int64."""
        return torch.as_tensor(np.asarray(self.label)).long()


def read(vec: Any, rows: slice | np.ndarray) -> Float[Tensor, "rows dim"]:
    """Some rows of `vec` as a float32 tensor of their own."""
    part = vec[rows]
    if isinstance(part, Tensor):
        return part.float()
    return torch.from_numpy(np.array(part, dtype=np.float32))


def blocks(count: int, size: int = BLOCK) -> Iterator[slice]:
    """`count` rows as slices of at most `size`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


class Scaling(NamedTuple):
    """Standardisation of one vector: (vec - mean) / deviation. A column that is constant becomes 0."""

    mean: Float[Tensor, " dim"]
    deviation: Float[Tensor, " dim"]

    @classmethod
    def fit(cls, vec: Any) -> "Scaling":
        """Mean and standard deviation of each column, in float64, in one pass over blocks (Chan et al. 1979).

        Give it train only.
        """
        count, mean, squares = 0, torch.zeros(vec.shape[1]).double(), torch.zeros(vec.shape[1]).double()
        for rows in blocks(len(vec)):
            part = read(vec, rows).double().cpu()
            shift = part.mean(dim=0) - mean
            squares += (part - part.mean(dim=0)).square().sum(dim=0) + shift**2 * count * len(part) / (
                count + len(part)
            )
            count += len(part)
            mean += shift * len(part) / count
        deviation = (squares / count).sqrt()
        # Rounding leaves a constant column of large numbers a tiny deviation: dividing by it would blow noise up.
        constant = deviation <= 1e-6 * mean.abs()
        return cls(mean.float(), torch.where(constant, 1.0, deviation).float())

    def __call__(self, vec: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        return (vec - self.mean.to(vec.device)) / self.deviation.to(vec.device)


class Batch(NamedTuple):
    """Memes that all runs of a stack see in one step."""

    text_vec: Float[Tensor, "batch text_dim"]
    image_vec: Float[Tensor, "batch image_dim"]
    rows: Int[Tensor, " batch"]  # where they stand in train


class Feed:
    """Standardised train rows, an epoch at a time, in an order that depends on the epoch alone.

    Rows that fit into `cache_bytes` are standardised once and kept on the device. More than that are visited in windows
    of that size: a window is made of randomly chosen blocks of neighbouring rows (so that a disk reads in long
    stretches), shuffled within, and dropped before the next one is read.
    """

    def __init__(
        self, text_vec: Any, image_vec: Any, scaling: tuple[Scaling, Scaling], device: torch.device, dtype: torch.dtype,
        cache_bytes: int,
    ) -> None:  # fmt: skip
        self.vecs, self.scaling, self.device, self.dtype = (text_vec, image_vec), scaling, device, dtype
        row_bytes = (text_vec.shape[1] + image_vec.shape[1]) * dtype.itemsize
        self.window_rows = max(cache_bytes // max(row_bytes, 1), BLOCK)
        self.count = len(text_vec)
        self.kept = self._load(list(blocks(self.count))) if self.count <= self.window_rows else None

    def _load(self, parts: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
        index = torch.cat([torch.arange(part.start, part.stop) for part in parts])
        loaded = []
        for vec, scale in zip(self.vecs, self.scaling, strict=True):
            out = torch.empty(len(index), vec.shape[1], dtype=self.dtype, device=self.device)
            start = 0
            for part in parts:
                block = scale(read(vec, part))
                out[start : start + len(block)] = block
                start += len(block)
            loaded.append(out)
        return loaded[0], loaded[1], index.to(self.device)

    def _windows(self, order: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        if self.kept is not None:
            yield self.kept
            return
        parts = list(blocks(self.count))
        shuffled = [parts[place] for place in torch.randperm(len(parts), generator=order).tolist()]
        at_once = max(self.window_rows // BLOCK, 1)
        for start in range(0, len(shuffled), at_once):
            yield self._load(shuffled[start : start + at_once])

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in their own order, block by block."""
        for part in blocks(self.count):
            if self.kept is not None:
                yield self.kept[0][part], self.kept[1][part]
            else:
                yield self._load([part])[:2]

    def epoch(self, number: int, settings: HeadSettings) -> Iterator[Batch]:
        """The batches of epoch `number`, in the sizes and with the input dropout of `settings`.

        Order and dropout depend on the epoch alone, so that all runs see the same batch.
        """
        passes = math.ceil(settings.min_steps / math.ceil(self.count / settings.batch_size))
        for again in range(passes):
            seed = number * passes + again
            order, noise = torch.Generator().manual_seed(seed), torch.Generator(self.device).manual_seed(seed)
            for text, image, index in self._windows(order):
                for places in torch.randperm(len(index), generator=order).to(self.device).split(settings.batch_size):
                    vecs = [vec.index_select(0, places) for vec in (text, image)]
                    for vec in vecs:
                        drop_columns_(vec, settings.input_dropout, noise)
                    yield Batch(vecs[0], vecs[1], index[places])


def drop_columns_(vec: Float[Tensor, "batch dim"], rate: float, generator: torch.Generator) -> None:
    """Zero each entry with probability `rate` (met to 1/256, a random byte each) and scale the others up, in place."""
    dropped = min(round(rate * 256), 255)
    if dropped and vec.numel():
        words = torch.empty(vec.numel() // 8 + 1, dtype=torch.int64, device=vec.device)
        random = words.random_(-(2**63), None, generator=generator).view(torch.uint8)[: vec.numel()].view(vec.shape)
        vec.mul_((random >= dropped).to(vec.dtype)).mul_(256 / (256 - dropped))
