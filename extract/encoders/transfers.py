"""Between the processor's memory and a GPU's: batches go there, and vectors come back, while the GPU works on."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor


class Buffers:
    """Arrays that batches are put together in, used again and again.

    A GPU copies from them by itself: they are pinned, which takes longer than to fill one.
    """

    def __init__(self, device: torch.device) -> None:
        self.pinned = device.type == "cuda"
        self._free: dict[tuple[tuple[int, ...], np.dtype], list[np.ndarray]] = defaultdict(list)

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """One that nobody uses; what it holds is left from its last use."""
        with suppress(IndexError):
            return self._free[shape, dtype].pop()
        return pinned(shape, getattr(torch, dtype.name)).numpy() if self.pinned else np.empty(shape, dtype)

    def give(self, buffer: np.ndarray) -> None:
        """It has been copied, or what was made of it is there."""
        self._free[buffer.shape, buffer.dtype].append(buffer)


class Upload:
    """Batches of arrays of one shape onto a device; to a GPU on a stream of their own, so that copies wait for no
    kernel."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.streams = device, device.type == "cuda"
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, batch: np.ndarray | Sequence[np.ndarray]) -> Tensor:
        """[batch, ...] on the device, ready for what is launched next on the current stream.

        On the CPU an array is not copied; to a GPU it is while the caller goes on, if its memory is pinned.
        """
        here = torch.from_numpy(batch if isinstance(batch, np.ndarray) else np.stack(batch))
        if not self.streams:
            return here.to(self.device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(self._stream):
            there = here.to(self.device, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copied)
        there.record_stream(current)  # else its memory could be given away on the other stream, while it is read here
        return there


class Arriving:
    """Vectors on their way back. From a GPU they are copied when they are made, and nobody waits for them here."""

    def __init__(self, vectors: Tensor) -> None:
        self._event = torch.cuda.Event() if vectors.is_cuda else None
        if self._event is None:
            self._here = vectors.cpu()
        else:
            self._here = pinned(vectors.shape, vectors.dtype).copy_(vectors, non_blocking=True)
            self._event.record()

    def __len__(self) -> int:
        return len(self._here)

    def wait(self) -> np.ndarray:
        """[batch, dim], when they are here."""
        if self._event is not None:
            self._event.synchronize()
        return self._here.numpy()


def pinned(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Empty memory that a GPU copies from and to by itself; PyTorch keeps what is let go of for the next."""
    return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)
