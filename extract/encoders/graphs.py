"""A network as a CUDA graph: batches of one shape are one launch each, where the interpreter would make hundreds.

heads.gpu does the same for steps of training, which change what they read.
"""

import threading
import warnings
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

CAPTURING = threading.Lock()  # one capture at a time, in whatever threads


def fits(device: torch.device, compiled: bool) -> bool:
    """Whether networks are captured there: on CUDA's GPUs, those that torch.compile has not made launch less."""
    return device.type == "cuda" and not compiled


class ReplayedNetwork:
    """`run`, which is captured at the second batch of a shape and replayed from the third on.

    The first chooses kernels and sets up memory. One graph is held: when the shape changes, as of batches that were
    halved because memory was full, it is let go of before the new shape is run. It is used only if it gives the bits
    of `run`, and where it cannot be had `run` goes on without it. What `run` reads besides its batch must stay where it
    is. Not for several threads at once.
    """

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        self._run = run
        self._shape: torch.Size | None = None
        self._graph: tuple[Tensor, Callable[[], None], Tensor] | None = None  # the batch's place, replay, the result
        self._fails = False

    def __call__(self, batch: Tensor) -> Tensor:
        """run(batch), in memory of its own. Raises torch.OutOfMemoryError where a capture finds no room, too."""
        again, self._shape = batch.shape == self._shape, batch.shape
        if again and self._graph is not None:
            here, replay, result = self._graph
            here.copy_(batch)
            replay()
            return result.clone()
        self._graph = None
        vectors = self._run(batch)
        if again and not self._fails:
            self._capture(batch, vectors)
        return vectors

    def _capture(self, batch: Tensor, expected: Tensor) -> None:
        why = "it gives other bits"
        try:
            here = batch.clone()
            replay, result = capture(self._run, here)
            replay()
            # as whole numbers, for NaN equals nothing: that is for whoever takes the vectors to refuse
            if torch.equal(result.view(torch.int32), expected.view(torch.int32)):
                self._graph = here, replay, result
                return
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # what a library does in a capture that it must not has no common kind
            why = str(error).strip().partition("\n")[0]
        self._fails = True
        warnings.warn(f"the network is not captured, which is slower: {why}", RuntimeWarning, stacklevel=4)


def capture(run: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[Callable[[], None], Tensor]:
    """Record what run(batch) launches, without running it; return what runs it, and its result's memory.

    All memory that nobody uses is given back first: a graph has its own.
    """
    graph, stream, pool = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.graph_pool_handle()
    with CAPTURING:
        try:
            # the stream twice: of older torch, a capture that fails would leave it in place
            with torch.cuda.stream(stream), torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                result = run(batch)
        except BaseException:
            release(pool)
            raise
    return graph.replay, result


def release(pool: tuple[int, int]) -> None:
    """Tell the allocator that a capture is over that broke off; until then, it takes back no memory of two streams."""
    with suppress(AttributeError, RuntimeError):  # private; where the capture was ended well, it knows
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
        torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
