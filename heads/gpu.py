"""What training asks of its processor: precision, memory, and steps that a GPU replays without the interpreter."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

STREAMS = 4  # heads, or stacks of a sweep, that train at once
# of a GPU's free memory, what one thing may take: each stream has three (train's standardised vectors, dev's, the runs
# of a stack), and a fourth share is left for what nobody asks room for
SHARE = 4 * STREAMS
CAPTURING = threading.Lock()  # heads train side by side, and their captures come one after the other
THREAD = threading.local()  # its stream


def on(device: torch.device) -> bool:
    """Whether orders and dropout are drawn there and steps are replayed there: on CUDA's GPUs."""
    return device.type == "cuda"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are native there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # private, and the only way: torch's public CPU capability does not tell bfloat16 products from widened ones
    return device.type == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def budget(device: torch.device, elsewhere: int) -> int:
    """Bytes that one thing may take: a share of what a GPU has free, `elsewhere` on other processors."""
    return torch.cuda.mem_get_info(device)[0] // SHARE if on(device) else elsewhere


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """On a GPU, within, what this thread launches waits for no other thread's; it is all done afterwards.

    A thread has one stream. Graphs are captured and replayed on it, for those of two streams would share the memory
    that cuBLAS has for the one on which they were captured.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.current_stream(device)
    if not hasattr(THREAD, "stream"):
        THREAD.stream = torch.cuda.Stream(device)
    THREAD.stream.wait_stream(before)
    with torch.cuda.stream(THREAD.stream):
        yield
        THREAD.stream.synchronize()


def finish(device: torch.device) -> None:
    """Wait until what was launched is done, so that other streams may read it."""
    if on(device):
        torch.cuda.current_stream(device).synchronize()


class ReplayedStep:
    """A step that does the same to the same memory each time, captured as a CUDA graph: a launch in place of a hundred.

    The first call of a shape is no replay: kernels are chosen and memory is set up in it. What a step changes or reads
    besides its arguments must stay where it is, or be forgotten here.
    """

    def __init__(self) -> None:
        self.graphs: dict[tuple[torch.Size | None, ...], _Graph | None] = {}
        self.fails = False

    def __call__(self, step: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """step(*inputs), its result in memory that the next call of that shape writes over."""
        shape = tuple(None if each is None else each.shape for each in inputs)
        if self.fails or shape not in self.graphs:
            self.graphs[shape] = None
            return step(*inputs)
        graph = self.graphs[shape]
        if graph is None:
            here = tuple(None if each is None else each.clone() for each in inputs)
            try:
                graph = self.graphs[shape] = here, *capture(step, here)
            except RuntimeError as error:
                warnings.warn(f"steps are not captured, which is slower: {error}", RuntimeWarning, stacklevel=2)
                self.fails = True
                return step(*inputs)
        here, replay, result = graph
        for place, value in zip(here, inputs, strict=True):
            if place is not None and value is not None:
                place.copy_(value)
        replay()
        return result

    def forget(self) -> None:
        """Capture anew: what steps change or read lies elsewhere now."""
        self.graphs.clear()


_Graph = tuple[tuple[Tensor | None, ...], Callable[[], None], Tensor]  # the arguments' places, replay, the result


def capture(step: Callable[..., Tensor], inputs: tuple[Tensor | None, ...]) -> tuple[Callable[[], None], Tensor]:
    """Record what step(*inputs) launches, without running it; return what runs it, and its result's memory.

    torch.cuda.graph does the same, and gives all cached memory back first: that waits for the whole device.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    with CAPTURING:
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            result = step(*inputs)
            graph.capture_end()
        except BaseException:
            with suppress(RuntimeError):
                graph.capture_end()
            release(pool)
            raise
    return graph.replay, result


def release(pool: tuple[int, int]) -> None:
    """Tell the allocator that a capture is over that broke off; until then, it takes back no memory of two streams."""
    with suppress(AttributeError, RuntimeError):  # private; where the capture was ended well, it knows
        torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
        torch._C._cuda_releasePool(torch.cuda.current_device(), pool)
