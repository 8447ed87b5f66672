"""How the benches time: ways by turns, in processes of their own where a start counts, ratios within one repeat."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from extract import errors

HOME = Path(__file__).parents[2]
EXTRACT = """
import resource, sys
from extract import errors
from extract.__main__ import main
status = errors.run(lambda: main(sys.argv[1:]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def seconds_of(job: Callable[[], object]) -> float:
    """Return the wall time of a call."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def by_turns(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[Any]]:
    """Call every way in its turn, and all of them again: what slows this machine for a while slows each of them."""
    measured: dict[str, list[Any]] = {name: [] for name in ways}
    for name in tqdm([*ways] * repeats, unit="measurement", disable=None):
        measured[name].append(ways[name]())
    return measured


def process(command: list[str]) -> tuple[float, str]:
    """Run a command. Returns its wall seconds and standard output; raises Failed, with its errors, if it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    seconds = time.perf_counter() - start
    if done.returncode:
        raise errors.Failed(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def extract(data: Path, features: Path, encoders: Mapping[str, str], device: str) -> list[str]:
    """Return the command that extracts train, which at its end prints the process's most resident memory, in kB."""
    command = [sys.executable, "-c", EXTRACT, "--data", str(data), "--features", str(features), "--split", "train"]
    command += [word for kind, name in encoders.items() for word in (f"--{kind}-encoder", name)]
    return [*command, "--device", device, "--quiet"]


def in_a_process(module: str, job: Mapping[str, Any], path: Path) -> tuple[float, Any]:
    """Run `python -m module path`, `path` holding the job as JSON. Returns wall seconds, and what it prints as JSON."""
    path.write_text(json.dumps(job))
    seconds, printed = process([sys.executable, "-m", module, str(path)])
    return seconds, json.loads(printed)


def environment() -> dict[str, str]:
    """Return that of a process that imports this code. GOMP_SPINCOUNT, set by errors.run, is in it: alike for all."""
    path = os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


class Sampling:
    """Calls `look` every so many seconds, and once more at the end, in a thread of its own."""

    def __init__(self, look: Callable[[], None], every: float) -> None:
        self.look, self.every, self.over = look, every, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampling":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.look()

    def _run(self) -> None:
        while not self.over.wait(self.every):
            self.look()


def middle(values: Sequence[float], digits: int = 1) -> str:
    """Return median, and in brackets the smallest and the largest: 4.2 (4.0, 4.9)."""
    low, median, high = min(values), statistics.median(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}, {high:.{digits}f})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio within each repeat."""
    return [one / other for one, other in zip(above, below, strict=True)]


def share(part: Sequence[float], whole: Sequence[float]) -> str:
    """Return the median share of a repeat: 87%."""
    return f"{statistics.median(ratios(part, whole)):.0%}"


def load() -> str:
    """Return what else this machine has to do."""
    return f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}"
