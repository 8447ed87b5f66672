"""Memes as vectors: rows that may lie on disk, their standardisation, and the batches of an epoch."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from heads import gpu
from heads.settings import HeadSettings

SQUARED_NORM = 16  # mean squared norm of a standardised vector
IN_CACHE = 256  # rows whose sums a processor makes without going to memory twice
BLOCK = 4096  # rows read from a memory-mapped array at a time


@dataclass(frozen=True)
class Rows:
    """Memes of one split. Row i of all three is the same meme.

    Vectors are tensors or NumPy arrays; memory-mapped ones are read in blocks and never copied whole in float32.
    """

    text_vec: Any  # [n, text_dim] float
    image_vec: Any  # [n, image_dim] float
    label: Any  # [n] whole numbers: 1 hateful, 0 not, -1 unknown
    text_blocks: tuple[int, ...] = ()  # columns of each encoder whose vectors stand side by side; none: they are one
    image_blocks: tuple[int, ...] = ()

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


def read_rows(vec: Any, rows: slice | np.ndarray) -> Float[Tensor, "rows dim"]:
    """Some rows of `vec` as a float32 tensor of their own."""
    part = vec[rows]
    if isinstance(part, Tensor):
        return part.float()
    return torch.from_numpy(np.array(part, dtype=np.float32))


def blocks(count: int, size: int = BLOCK) -> Iterator[slice]:
    """`count` rows as slices of at most `size`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


class Scaling(NamedTuple):
    """Standardisation: (vec - mean) / divisor. A column that is constant becomes 0.

    The divisor is the column's deviation times sqrt(width / 16), so that a vector of any width has a mean squared norm
    of 16. Wide and narrow vectors then weigh the same side by side, and one learning rate suits them all: with columns
    of variance 1, a ResNet's 2,048 columns drown a text vector's 384, and every step moves units five times as far.
    Where vectors of several encoders stand side by side, each encoder's block of columns is such a vector by itself.
    """

    mean: Float[Tensor, " dim"]
    divisor: Float[Tensor, " dim"]

    @classmethod
    def fit(cls, vec: Any, encoders: Sequence[int] = ()) -> "Scaling":
        """Mean and deviation of each column, in one pass over blocks of rows. Give it train only.

        encoders: columns of each encoder, where there are several.
        Sums are of distances from the first block's mean, for E[x^2] - E[x]^2 cancels where a mean is large (Chan,
        Golub & LeVeque 1983); within a block they are float32, over blocks float64.
        """
        shift = read_rows(vec, slice(0, IN_CACHE)).mean(dim=0)
        total, squares = torch.zeros(2, vec.shape[1], dtype=torch.float64, device=shift.device)
        for rows in blocks(len(vec), IN_CACHE):
            distance = read_rows(vec, rows) - shift
            total += distance.sum(dim=0)
            squares += distance.square_().sum(dim=0)
        offset = total / len(vec)
        mean, deviation = shift + offset, (squares / len(vec) - offset**2).clamp(min=0).sqrt()
        # A constant column's deviation is rounding, tiny beside its mean or the widest column: to divide by it would
        # turn rounding into a signal.
        widths = list(encoders) or [vec.shape[1]]
        widest = torch.cat([part.amax().expand(len(part)) if len(part) else part for part in deviation.split(widths)])
        floor = 1e-6 * torch.maximum(mean.abs(), widest)
        divisor = deviation * torch.cat(
            [deviation.new_full((width,), (width / SQUARED_NORM) ** 0.5) for width in widths]
        )
        return cls(mean.float().cpu(), torch.where(deviation <= floor, torch.inf, divisor).float().cpu())

    def __call__(self, vec: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        return (vec - self.mean.to(vec.device)) / self.divisor.to(vec.device)


class Window(NamedTuple):
    """Rows of train that lie in memory, standardised."""

    text_vec: Float[Tensor, "n text_dim"]
    image_vec: Float[Tensor, "n image_dim"]
    row: Int[Tensor, " n"]  # where in train


@dataclass(frozen=True)
class Batch:
    """One step's memes: every run's own. They are gathered when they are asked for."""

    window: Window
    places: Int[Tensor, "run batch"]  # in the window

    @property
    def text_vec(self) -> Float[Tensor, "run batch text_dim"]:
        return _rows(self.window.text_vec, self.places)

    @property
    def image_vec(self) -> Float[Tensor, "run batch image_dim"]:
        return _rows(self.window.image_vec, self.places)

    @property
    def row(self) -> Int[Tensor, "run batch"]:
        """Where in train they are."""
        return self.window.row[self.places]


class Once:
    """What is made of an array of vectors is made once, for all heads that look at it, in whatever threads they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], tuple[Any, Any]] = {}

    def __call__(self, what: str, vec: Any, make: Callable[[], Any]) -> Any:
        """make(), or what an earlier call for the same `what` and `vec` has made."""
        with self._lock:
            if (what, id(vec)) not in self._made:
                self._made[what, id(vec)] = vec, make()  # while `vec` is held here, its id is its own
            return self._made[what, id(vec)][1]


class Feed:
    """Standardised rows, in their order or an epoch at a time.

    Rows that fit into `cache_bytes` are standardised once and kept on the device. More than that are visited in windows
    of that size, which all runs share: a window is made of randomly chosen blocks of neighbouring rows (a disk reads in
    long stretches), shuffled within by each run, and dropped before the next one is read.
    """

    def __init__(
        self, text_vec: Any, image_vec: Any, scaling: tuple[Scaling, Scaling], device: torch.device, dtype: torch.dtype,
        cache_bytes: int, once: Once | None = None,
    ) -> None:  # fmt: skip
        """once: shared by feeds of the same rows, so that kept vectors are."""
        self.vecs, self.scaling, self.device, self.dtype = (text_vec, image_vec), scaling, device, dtype
        row_bytes = (text_vec.shape[1] + image_vec.shape[1]) * dtype.itemsize
        self.window_rows = max(cache_bytes // max(row_bytes, 1), BLOCK)
        self.count = len(text_vec)
        self.kept = self._load(list(blocks(self.count)), once) if self.count <= self.window_rows else None

    def _load(self, parts: list[slice], once: Once | None = None) -> Window:
        index = torch.cat([torch.arange(part.start, part.stop) for part in parts])
        text, image = (
            once(f"standardised {self.dtype}", vec, partial(self._standardised, vec, scale, parts, len(index)))
            if once and vec.shape[1]
            else self._standardised(vec, scale, parts, len(index))
            for vec, scale in zip(self.vecs, self.scaling, strict=True)
        )
        return Window(text, image, index.to(self.device))

    def _standardised(self, vec: Any, scale: Scaling, parts: list[slice], count: int) -> Float[Tensor, "count dim"]:
        out = torch.empty(count, vec.shape[1], dtype=self.dtype, device=self.device)
        start = 0
        for part in parts:
            for rows in blocks(part.stop - part.start, BLOCK if gpu.on(self.device) else IN_CACHE):
                block = read_rows(vec, slice(part.start + rows.start, part.start + rows.stop))
                out[start : start + len(block)] = scale(block.to(self.device) if gpu.on(self.device) else block)
                start += len(block)
        gpu.finish(self.device)
        return out

    def _windows(self, number: int) -> Iterator[Window]:
        if self.kept is not None:
            yield self.kept
            return
        parts = list(blocks(self.count))
        shuffled = [
            parts[place]
            for place in torch.randperm(len(parts), generator=torch.Generator().manual_seed(number)).tolist()
        ]
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

    def passes(self, settings: HeadSettings) -> int:
        """How often an epoch goes through the rows."""
        return math.ceil(settings.min_steps / math.ceil(self.count / settings.batch_size))

    def epoch(self, number: int, settings: HeadSettings, orders: Sequence[torch.Generator]) -> Iterator[Batch]:
        """The batches of epoch `number`, by the batch size and least number of steps in `settings`.

        Each run shuffles with its own generator. Had all runs one order, they would also share its luck, and the spread
        over seeds would look up to two times smaller than it is.
        """
        for again in range(self.passes(settings)):
            for window in self._windows(number * self.passes(settings) + again):
                order = shuffled(len(window.row), orders).to(self.device)
                for places in order.split(settings.batch_size, dim=1):
                    yield Batch(window, places)
                del window  # before the next one is read: memory holds one


def shuffled(count: int, orders: Sequence[torch.Generator]) -> Int[Tensor, "run count"]:
    """0 to count - 1, shuffled by each generator; on a GPU all rows are sorted at once, by 63 random bits."""
    device = orders[0].device
    if not gpu.on(device):
        return torch.stack([torch.randperm(count, generator=order) for order in orders])
    keys = torch.empty(len(orders), count, dtype=torch.int64, device=device)
    for row, order in zip(keys, orders, strict=True):
        row.random_(generator=order)
    return keys.argsort(dim=1, stable=True)


def _rows(vec: Float[Tensor, "n dim"], places: Int[Tensor, "run batch"]) -> Float[Tensor, "run batch dim"]:
    return (
        vec.index_select(0, places.flatten()).view(*places.shape, -1)
        if vec.shape[1]
        else vec.new_empty(*places.shape, 0)
    )
