"""Where encoders run, and in which arithmetic."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from extract import machine
from extract.errors import Refused


def test_no_gpu_means_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_no_cuda", lambda: "no NVIDIA driver is installed here")
    assert machine.resolve_device("auto") == "cpu"
    assert machine.resolve_device("cpu") == "cpu"
    with pytest.raises(Refused) as refused:
        machine.resolve_device("cuda")
    assert str(refused.value) == (
        "--device cuda: no NVIDIA driver is installed here. "
        "Use --device cpu, or --device auto to take a GPU where there is one"
    )
    assert refused.value.status == 2


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_no_cuda", lambda: "")
    assert [machine.resolve_device(asked) for asked in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]


def test_the_answer_is_torchs() -> None:
    assert (machine.resolve_device("auto") == "cuda") == torch.cuda.is_available()


def test_a_driver_without_a_usable_gpu_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_loads", lambda library: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine._no_cuda() in (
        f"PyTorch {torch.__version__} finds no GPU that it can use",
        f"PyTorch {torch.__version__} is built without CUDA (python: {sys.executable})",
    )


@pytest.mark.parametrize(
    ("cpuinfo", "dtype"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16\n", "bfloat16"),
        ("processor: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", "bfloat16"),
        ("processor: 0\nFeatures\t: fp asimd bf16\n", "bfloat16"),
        ("processor: 0\nflags\t\t: fpu avx2 avx512f\n", "float32"),
        ("", "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_where_the_processor_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, dtype: str
) -> None:
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert machine.resolve_dtype("auto", "cpu") == dtype
    assert machine.resolve_dtype("float16", "cuda") == "float16"
    with pytest.raises(Refused, match="--dtype float16 needs a GPU; on a CPU use bfloat16 or float32"):
        machine.resolve_dtype("float16", "cpu")


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float16")])
def test_bfloat16_where_the_gpu_has_it(monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert machine.resolve_dtype("auto", "cuda") == dtype


def test_apples_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert machine.resolve_device("mps") == "mps"
    assert [machine.resolve_dtype(asked, "mps") for asked in ("auto", "float16")] == ["float32", "float16"]
    with pytest.raises(Refused, match="--dtype bfloat16 is not for --device mps; use float16 or float32"):
        machine.resolve_dtype("bfloat16", "mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(Refused) as refused:
        machine.resolve_device("mps")
    assert str(refused.value) == (
        "--device mps is for Apple's GPUs, and PyTorch finds none here. Use --device auto or cpu"
    )


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9 has other names for it")
@pytest.mark.parametrize("asked", ["none", "tf32"])
def test_float32_means_float32_whatever_the_process_asked_for(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    backends = torch.backends
    rooms = [backends, backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv]
    at_first = backends.fp32_precision
    monkeypatch.setattr(backends.cudnn, "benchmark", True)
    try:
        backends.fp32_precision = asked  # with "tf32", torch.backends.cudnn.flags would raise
        before = [room.fp32_precision for room in rooms]
        with machine.FLOAT32.products():
            with machine.FLOAT32.products():  # another thread's encoder
                pass
            assert {room.fp32_precision for room in rooms[1:]} == {"ieee"}
            assert backends.cudnn.benchmark
        assert [room.fp32_precision for room in rooms] == before
        backends.fp32_precision = "ieee"  # nothing that was put back hides what is set later
        assert backends.cuda.matmul.fp32_precision == "ieee"
    finally:
        backends.fp32_precision = at_first


def test_words_that_mean_nothing_are_refused() -> None:
    with pytest.raises(Refused, match="--device is 'gpu', expected auto, cpu, cuda or mps"):
        machine.resolve_device("gpu")
    with pytest.raises(Refused, match="--dtype is 'fp16', expected auto, float32, bfloat16, float16"):
        machine.resolve_dtype("fp16", "cpu")


def test_asking_for_the_cpu_costs_no_import_of_torch() -> None:
    code = (
        "import sys; from extract.machine import resolve_device, resolve_dtype; "
        "resolve_dtype('auto', resolve_device('cpu')); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    monkeypatch.setattr(machine, "OWN_GROUPS", Path("no control groups"))
    assert machine.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS has none
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert machine.cores() == 8


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/pod/one", {"pod/cpu.max": "300000 100000", "pod/one/cpu.max": "max 100000"}, 3),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        # the host's name for the group, which the container does not see
        ("4:cpu,cpuacct:/docker/1", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("5:memory:/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_a_containers_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")
    (tmp_path / "cgroup").write_text(f"{own}\n")
    for name, content in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(f"{content}\n")
    assert machine.cores() == expected


def test_what_takes_too_long_is_left_to_itself() -> None:
    over, began = threading.Event(), time.monotonic()
    assert not machine.within(0.01, lambda: over.wait(60))
    assert time.monotonic() - began < 30
    over.set()
    assert machine.within(60, lambda: None)
    with pytest.raises(ZeroDivisionError):
        machine.within(60, lambda: 1 / 0)
