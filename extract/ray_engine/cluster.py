"""A Ray cluster: a command's connection to it, made when there is something to encode, and what it holds."""

import hashlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from extract import locks
from extract.errors import Refused, in_a_line, need
from extract.machine import cores

THREADS = 4  # of one encoder on a CPU, at the most: its batches are small
ENCODER_SHARE = 0.8  # of its cores; the rest is the decoders', one for each core, who mostly wait for it
NEEDED = ("ray", "pyarrow", "pandas")  # by ray.data
ANSWER_SECONDS = 10.0
SCRATCH = "memefuse-"  # and the driver's machine and process id
SOCKET_PATH = 107  # bytes that a socket's path may have
SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest that Ray makes in its folder
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no call to the internet
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what goes wrong comes as an exception, too
    # of processes that start: a driver waits for ever for Ray that gave them up, as on a machine that stands still
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it announces a change of its next version
}
START = (
    "Start one with `ray start --head`, join it from each machine with `ray start --address HOST:PORT`,\n"
    "and run this command on one of them; or leave --address out to use this machine alone."
)
VERSIONS = "Install the cluster's versions here: `pip install -c constraints.txt 'memefuse[ray]'` on every machine."


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster offers."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Pool:
    """Encoders (actors, for the whole run) and decoders (tasks, one part each), and Ray's accounts of them."""

    encoders: int
    cpus: float  # of each encoder, as Ray counts them
    gpus: int  # of each encoder
    threads: int  # of each encoder's arithmetic
    decoders: int  # at a time
    decoder_cpus: float  # of each decoder, as Ray counts them

    @classmethod
    def of(cls, nodes: Sequence[Node], device: str) -> "Pool":
        """One encoder a GPU; on CPUs one for every THREADS cores. Every node that encodes has room for decoders.

        device: "cpu" or "cuda". Raises Refused where there is nothing to encode with.
        """
        cores = sum(int(node.cpus) for node in nodes)
        if device == "cuda":
            encoders = sum(int(node.gpus) for node in nodes)
            if not encoders or not cores:
                raise Refused(f"the Ray cluster has {encoders} GPUs and {cores} CPU cores; --device cuda needs both")
            return cls(encoders, cpus=0, gpus=1, threads=1, decoders=cores, decoder_cpus=1)
        if not cores:
            raise Refused("the Ray cluster has no CPU core to encode with")
        threads = min(THREADS, *(int(node.cpus) for node in nodes if node.cpus >= 1))
        encoders = sum(int(node.cpus) // threads for node in nodes)
        share = round(ENCODER_SHARE * threads, 2)
        return cls(encoders, share, gpus=0, threads=threads, decoders=cores, decoder_cpus=round(1 - ENCODER_SHARE, 2))


@contextmanager
def _native_stderr_muted() -> Iterator[None]:
    """Ray's own code announces its log level on the file descriptor, past sys.stderr."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def scratch_folder() -> Path:
    """For Ray's sockets and logs; in /tmp where a socket's path would be too long. Removes those of killed drivers.

    Raises Refused where it cannot be made.
    """
    home = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    mine = f"{SCRATCH}{_machine()}-"
    if len(os.fsencode(home / f"{mine}{os.getpid()}-abcdefgh")) + len(SOCKET) > SOCKET_PATH:
        home = Path("/tmp")
    for left in home.glob(f"{mine}*-*"):
        try:
            os.kill(int(left.name.removeprefix(mine).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (PermissionError, ValueError):  # another user's, or none of ours
            continue
    try:
        return Path(tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}-", dir=home))
    except OSError as error:
        raise Refused(
            f"--engine ray: no scratch folder in {home}: {error.strerror}; name another with RAY_TMPDIR"
        ) from None


def _machine() -> str:
    """Where a process number counts: this machine, since it was started, and this container. A folder may be shared."""
    return hashlib.sha256(f"{socket.gethostname()} {locks.kernel()}".encode()).hexdigest()[:6]


def _knock(address: str) -> None:
    """Raises OSError at once where no one listens; Ray itself would go on asking for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()


class Connection:
    """To a cluster, or to Ray on this machine alone, which is then started and ended here."""

    def __init__(self, address: str) -> None:
        """address: "local", "auto" or HOST:PORT. Raises Refused where Ray is not installed."""
        need(NEEDED, "--engine ray needs", "ray")
        self.address = address
        self._opened = False
        self._scratch: Path | None = None

    def __enter__(self) -> "Connection":
        return self

    def open(self) -> None:
        """Connect, unless this process is connected already (then whoever did so also disconnects).

        Raises Refused if no cluster answers.
        """
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong comes as an exception
        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        self._opened = True
        if self.address == "local":
            self._scratch = scratch_folder()
            try:
                with _native_stderr_muted():
                    ray.init("local", include_dashboard=False, _temp_dir=str(self._scratch), num_cpus=cores(), **quiet)
            except (OSError, RuntimeError, ValueError) as error:
                raise Refused(f"--engine ray: Ray cannot be started on this machine: {in_a_line(error)}") from None
            return
        try:
            _knock(self.address)
            with _native_stderr_muted():
                ray.init(self.address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise Refused(
                f"--address {self.address}: no Ray cluster that can be used: {in_a_line(error)}\n"
                f"{VERSIONS if 'Version mismatch' in str(error) else START}"
            ) from None

    def nodes(self) -> list[Node]:
        """The machines that are there now."""
        import ray

        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [Node(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in alive]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._opened:
            import ray

            ray.shutdown()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
