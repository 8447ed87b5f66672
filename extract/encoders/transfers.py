"""Between the processor's memory and a GPU's: batches go there, and vectors come back, while the GPU works on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BUFFERS = 3  # pinned batches: one that is filled, one that is copied, one that waits for its turn


class Upload:
    """Batches of arrays of one shape onto a device.

    To a GPU they go through a few pinned buffers that are used again and again, on a stream of their own: to pin memory
    takes longer than to copy it, and copies wait for no kernel.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.pinned = device, device.type == "cuda"
        self._buffers: list[tuple[Tensor, torch.cuda.Event]] = []
        self._stream: torch.cuda.Stream | None = None
        self._next = 0

    def __call__(self, batch: Sequence[np.ndarray]) -> Tensor:
        """[batch, ...] on the device, ready for what is launched next on the current stream."""
        if not self.pinned:
            return torch.from_numpy(np.stack(batch)).to(self.device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        buffer, copied = self._buffer(batch)
        copied.synchronize()
        np.stack(batch, out=buffer[: len(batch)].numpy())
        with torch.cuda.stream(self._stream):
            there = buffer[: len(batch)].to(self.device, non_blocking=True)
            copied.record()
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copied)
        there.record_stream(current)  # else its memory could be given away on the other stream, while it is read here
        return there

    def _buffer(self, batch: Sequence[np.ndarray]) -> tuple[Tensor, torch.cuda.Event]:
        """The buffer whose turn it is, anew where it does not hold such a batch."""
        shape, dtype = batch[0].shape, torch.from_numpy(batch[0][:0]).dtype
        place, self._next = self._next, (self._next + 1) % BUFFERS
        if place == len(self._buffers):
            self._buffers.append((pinned((0, *shape), dtype), torch.cuda.Event()))
        buffer, copied = self._buffers[place]
        if len(buffer) < len(batch) or buffer.shape[1:] != shape or buffer.dtype != dtype:
            copied.synchronize()
            self._buffers[place] = pinned((len(batch), *shape), dtype), copied
        return self._buffers[place]


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
