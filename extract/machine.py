"""Which processor encodes, in which arithmetic, and work in threads of it.

Answers as words, so that asking rarely costs importing torch.
"""

import ctypes
import math
import os
import platform
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from extract.errors import Refused

In = TypeVar("In")
Out = TypeVar("Out")

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("float32", "bfloat16", "float16")
DRIVERS = ("libcuda.so.1", "nvcuda.dll")  # what every CUDA program needs, on Linux and on Windows
CPUINFO = Path("/proc/cpuinfo")
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # Linux' control groups, and this process's
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 (two kinds of product) and ARM


def cores() -> int:
    """Processor cores that this process may use: a container's quota counts, rounded up."""
    # macOS has no affinity
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, _quota())))


def _quota() -> float:
    """How many processors' time the control groups of this process may use (version 1 or 2); infinite without limit.

    Sources: the kernel's cgroup-v2.rst (cpu.max) and sched-bwc.rst (cpu.cfs_quota_us).
    """
    quotas = [math.inf]
    for line in OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.exists() else []:
        number, controllers, own = line.split(":", 2)
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        mount = GROUPS if number == "0" else GROUPS / "cpu"
        group = mount / own.lstrip("/")  # inside a container the mount itself may be the group
        for folder in [group, *(parent for parent in group.parents if parent.is_relative_to(mount))]:
            with suppress(OSError, ValueError, ZeroDivisionError):
                if number == "0":
                    quota, period = (folder / "cpu.max").read_text().split()
                else:
                    quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
                if float(quota) > 0:
                    quotas.append(float(quota) / float(period))
    return min(quotas)


def resolve_device(device: str) -> str:
    """ "auto", "cpu", "cuda" or "mps" (Apple's GPUs) -> "cpu", "cuda" or "mps"; "auto" never takes the last.

    Raises Refused for CUDA or MPS where there is none.
    """
    if device not in DEVICES:
        raise Refused(f"--device is {device!r}, expected {', '.join(DEVICES[:-1])} or {DEVICES[-1]}")
    if device == "cpu":
        return "cpu"
    if device == "mps":
        import torch

        if not torch.backends.mps.is_available():
            raise Refused("--device mps is for Apple's GPUs, and PyTorch finds none here. Use --device auto or cpu")
        return "mps"
    fault = _no_cuda()
    if fault and device == "cuda":
        raise Refused(f"--device cuda: {fault}. Use --device cpu, or --device auto to take a GPU where there is one")
    return "cpu" if fault else "cuda"


def resolve_dtype(dtype: str, device: str) -> str:
    """ "auto" -> "bfloat16" where this processor or GPU multiplies it natively.

    Elsewhere "float32", and "float16" for CUDA's older GPUs: their float32 is eight times slower, and what overflows
    is seen, for vectors that are not finite are refused.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise Refused(f"--dtype is {dtype!r}, expected auto, {', '.join(DTYPES)}")
        if device == "cpu" and dtype == "float16":
            raise Refused("--dtype float16 needs a GPU; on a CPU use bfloat16 or float32")
        if device == "mps" and dtype == "bfloat16":
            raise Refused("--dtype bfloat16 is not for --device mps; use float16 or float32")
        return dtype
    if device == "cuda":
        return "bfloat16" if _gpu_has_bf16() else "float16"
    return "bfloat16" if device == "cpu" and cpu_has_bf16() else "float32"


def cpu_has_bf16() -> bool:
    """Whether this processor has bfloat16 products; elsewhere they are emulated and slower than float32's."""
    if not CPUINFO.exists():
        return False
    for line in CPUINFO.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return not BF16_FLAGS.isdisjoint(value.split())
    return False


def processor_name() -> str:
    """What this machine's CPU calls itself, with what it can do: where kernels are chosen by it."""
    if not CPUINFO.exists():
        return f"{platform.machine()} {platform.processor()}"
    lines = CPUINFO.read_text().splitlines()
    return "; ".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))


def _no_cuda() -> str:
    """Why CUDA cannot be used; empty where it can."""
    # AMD's GPUs answer to "cuda" too, and have no CUDA driver.
    if not Path("/dev/kfd").exists() and not any(_loads(driver) for driver in DRIVERS):
        return "no NVIDIA driver is installed here"
    import torch

    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} is built without CUDA (python: {sys.executable})"
    return f"PyTorch {torch.__version__} finds no GPU that it can use"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _gpu_has_bf16() -> bool:
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


class Float32:
    """float32 that means float32 while anyone is inside `products`: no TF32, no bfloat16 for speed.

    cuDNN's convolutions would round their input to ten bits by default, products where the process asked for it. The
    settings are the process's, threads share them: the first in makes them, the last out puts back what was there.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[tuple[Any, str, Any]] = []

    @contextmanager
    def products(self) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = [(room, name, getattr(room, name)) for room, name, _ in _float32_settings()]
                for room, name, exact in _float32_settings():
                    setattr(room, name, exact)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                for room, name, value in self._before if not self._inside else ():
                    if name == "fp32_precision":
                        room.fp32_precision = "none"  # what it had may have come from a wider setting
                    if getattr(room, name) != value:
                        setattr(room, name, value)


def _float32_settings() -> list[tuple[Any, str, Any]]:
    """Where torch keeps them: an object, an attribute's name, and the value that asks for all 24 bits."""
    import torch

    backends: Any = torch.backends
    if not hasattr(backends, "fp32_precision"):  # before torch 2.9
        return [(backends.cuda.matmul, "allow_tf32", False), (backends.cudnn, "allow_tf32", False)]
    rooms = [backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv]
    return [(room, "fp32_precision", "ieee") for room in rooms]


FLOAT32 = Float32()


def within(seconds: float, ask: Callable[[], object]) -> bool:
    """Whether `ask` is done after so long; what it raises by then is raised. If it is not, nobody waits for it."""
    failures: list[Exception] = []

    def asking() -> None:
        try:
            ask()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures.pop()
    return not thread.is_alive()


def prefetch(
    pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], window: int
) -> Iterator[Out]:
    """Results in order, at most `window` of them waiting: memory stays flat however long the list is.

    What `items` raises comes after the results of those before it.
    """
    waiting: deque[Future[Out]] = deque()
    failure: Exception | None = None
    left = iter(items)
    while failure is None:
        try:
            waiting.append(pool.submit(function, next(left)))
        except StopIteration:
            break
        except Exception as error:
            failure = error
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame, and with it all that was in hand


def in_threads(
    function: Callable[[In], Out], items: Iterable[In], threads: int, window: int, name: str
) -> Iterator[Out]:
    """`prefetch` with threads of its own. Where it is given up, as by Ctrl-C, it does not wait for what is queued."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield from prefetch(pool, function, items, window)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
