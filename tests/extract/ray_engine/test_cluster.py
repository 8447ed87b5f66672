"""A command's connection to Ray: what is refused, and in which words; its scratch folder; what its errors say."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract import locks
from extract.errors import Refused
from extract.ray_engine import cluster
from extract.ray_engine.engine import error_in_words


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "NEEDED", ("ray", "no_such_thing"))
    with pytest.raises(Refused) as refusal:
        cluster.Connection("local")
    assert str(refusal.value) == (
        "--engine ray needs no_such_thing, not installed here. Run: pip install 'memefuse[ray]'"
    )


@pytest.mark.parametrize(("folder", "home"), [("/var/tmp", "/var/tmp"), ("/var/tmp/" + "d" * 80, "/tmp")])
def test_rays_sockets_have_paths_that_a_socket_may_have(folder, home, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", folder)
    scratch = cluster.scratch_folder()
    try:
        with socket.socket(socket.AF_UNIX) as door:
            sockets = scratch / "session_2026-11-20_20-40-11_123456_1234567" / "sockets"
            sockets.mkdir(parents=True)
            door.bind(str(sockets / "plasma_store"))
        assert scratch.parent == Path(home)
    finally:
        shutil.rmtree(scratch)


def test_only_ones_own_dead_drivers_scratch_folders_are_removed(tmp_path, monkeypatch):
    """A home or /tmp may be shared by machines or containers, each with process numbers of its own."""
    monkeypatch.setattr(cluster, "SOCKET_PATH", 999)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with monkeypatch.context() as patch:
        patch.setattr(locks, "kernel", lambda: "another machine")
        theirs = cluster.scratch_folder()
        theirs = theirs.rename(str(theirs).replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    alive = cluster.scratch_folder()
    dead = Path(str(alive).replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
    dead.mkdir()
    assert cluster.scratch_folder().parent == tmp_path
    assert (theirs.exists(), alive.exists(), dead.exists()) == (True, True, False)


def test_a_scratch_folder_that_cannot_be_made_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/none")
    with pytest.raises(Refused) as refusal:
        cluster.scratch_folder()
    assert str(refusal.value) == (
        "--engine ray: no scratch folder in /none: No such file or directory; name another with RAY_TMPDIR"
    )


MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.1\nThis process was started with:\n    Ray: 2.60"
)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        (
            "auto",
            RuntimeError(MISMATCH),
            "--address auto: no Ray cluster that can be used: Version mismatch: The cluster was started with: Ray: 2.1 "
            "This process was started with: Ray: 2.60\n" + cluster.VERSIONS,
        ),
        (
            "auto",
            ConnectionError("Could not find any running Ray instance."),
            "--address auto: no Ray cluster that can be used: Could not find any running Ray instance.\n"
            + cluster.START,
        ),
        ("local", OSError("no room"), "--engine ray: Ray cannot be started on this machine: no room"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of Ray's own import
def test_what_ray_says_when_it_cannot_be_had_is_told_whole(address, error, message, monkeypatch):
    ray = pytest.importorskip("ray")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(Refused) as refusal, cluster.Connection(address) as made:
        made.open()
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            "\x1b[36mray::MapBatches(decode)()\x1b[39m (pid=8137, ip=192.0.2.2)\n  At least one ...\n"
            "ray.exceptions.RaySystemError: System error\ntraceback: Traceback (most recent call last):\n    ^^^\n"
            "ModuleNotFoundError: No module named 'torch'",
            "machine 192.0.2.2 of the cluster: ModuleNotFoundError: No module named 'torch'",
        ),
        (
            "ray::MapWorker.submit() (pid=16, ip=192.0.2.2, actor_id=8832)\n  File ...\n"
            "torch.AcceleratorError: CUDA error: unspecified launch failure\nCompile with `TORCH_USE_CUDA_DSA`",
            "machine 192.0.2.2 of the cluster: torch.AcceleratorError: CUDA error: unspecified launch failure",
        ),
        (
            "The actor died unexpectedly before finishing this task.\n\tpid: 22226\n\tip: 192.0.2.2\nThe actor is",
            "machine 192.0.2.2 of the cluster: The actor died unexpectedly before finishing this task.",
        ),
        ("No progress for 1800 s.\nConsider ...", "No progress for 1800 s."),
        ("", "Exception"),
    ],
)
def test_rays_pages_become_a_line(told, words):
    assert error_in_words(Exception(told)) == words


nodes = st.lists(
    st.builds(cluster.Node, st.integers(0, 64).map(float), st.integers(0, 8).map(float)), min_size=1, max_size=9
)


@given(nodes)
def test_every_machine_keeps_room_for_a_decoder_on_each_core(machines):
    if not any(node.cpus for node in machines):
        with pytest.raises(Refused, match="no CPU core"):
            cluster.Pool.of(machines, "cpu")
        return
    found = cluster.Pool.of(machines, "cpu")
    assert found.encoders == sum(int(node.cpus) // found.threads for node in machines)
    assert 1 <= found.threads <= cluster.THREADS
    for node in machines:
        left = node.cpus - node.cpus // found.threads * found.cpus
        assert left >= node.cpus * found.decoder_cpus - 1e-9
    assert found.decoders == sum(node.cpus for node in machines)


@given(nodes)
def test_every_gpu_has_one_encoder(machines):
    gpus, cores = sum(node.gpus for node in machines), sum(node.cpus for node in machines)
    if not gpus or not cores:
        with pytest.raises(Refused, match=f"has {gpus:.0f} GPUs and {cores:.0f} CPU cores"):
            cluster.Pool.of(machines, "cuda")
        return
    found = cluster.Pool.of(machines, "cuda")
    assert (found.encoders, found.gpus, found.decoders) == (gpus, 1, cores)
