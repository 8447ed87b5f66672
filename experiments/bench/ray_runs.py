"""Extractions by both engines, each in a process of its own, and one that is killed and run again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from experiments.bench.extract import draw
from experiments.bench.ways import HOME, environment
from extract import dataset, errors, store
from extract.progress import say

DRIVER = """
import resource, sys
from extract import errors
from extract.__main__ import main
status = errors.run(lambda: main(sys.argv[1:]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""
ENGINES = {"local": (), "ray": ("--engine", "ray")}
OBJECTS = Path("/dev/shm")  # where Ray keeps its objects, on Linux
LOOK_EVERY = 0.1  # seconds
LEAST_PARTS = 4  # of images, in the run that is killed
TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, a second


@dataclass(frozen=True)
class Asked:
    """What both engines are asked for."""

    text_encoder: str
    image_encoder: str
    dtype: str  # of the encoders' arithmetic


@dataclass(frozen=True)
class Timed:
    """One extraction by one engine."""

    engine: str
    rows: int  # distinct texts and images each
    seconds: float  # cold start to published
    cpu_seconds: float  # of the processor, by all processes of the engine
    driver_mb: float  # most resident memory of the driver
    objects_mb: float  # most shared memory in use beyond what was before; 0 where there is no such folder


@dataclass(frozen=True)
class Resumed:
    """A killed extraction, run again."""

    parts: int  # of the whole plan
    kept: int  # parts that were finished when the driver was killed
    touched: int  # of those, how many were written again
    first_seconds: float  # from the second start to its first new part
    seconds: float  # from the second start to published files


def drawn(folder: Path, rows: int) -> Path:
    """Memes whose texts all differ: equal ones would be encoded once, and rows could not be counted by texts."""
    draw(folder, rows)
    path = folder / "train.jsonl"
    memes = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(meme | {"text": f"{meme['text']} {number}"}) for number, meme in enumerate(memes)]
    path.write_text("\n".join(lines) + "\n")
    return folder


def _command(engine: str, data: Path, features: Path, asked: Asked) -> list[str]:
    command = [sys.executable, "-c", DRIVER, "--data", str(data), "--features", str(features), "--split", "train"]
    command += ["--text-encoder", asked.text_encoder, "--image-encoder", asked.image_encoder, "--dtype", asked.dtype]
    return [*command, "--device", "cpu", "--quiet", *ENGINES[engine]]


def run(engine: str, data: Path, features: Path, asked: Asked) -> Timed:
    start = time.perf_counter()
    watch = Watch(_command(engine, data, features, asked))
    stdout, stderr = watch.end()
    seconds = time.perf_counter() - start
    if watch.process.returncode:
        raise errors.Failed(f"the {engine} engine failed with status {watch.process.returncode}:\n{stderr[-2000:]}")
    rows = len(store.read(next(features.glob("*/train.h5"))))
    say(f"{engine}, {rows:,} memes: {seconds:.1f} s, {watch.cpu_seconds:.1f} s of the processor")
    return Timed(engine, rows, seconds, watch.cpu_seconds, int(stdout.split()[-1]) / 1024, watch.objects / 2**20)


class Watch:
    """A process and all that it starts, sampled: their processor seconds, and the shared memory in use meanwhile.

    Wall time says little where other programs have the same cores; processor time does.
    """

    def __init__(self, command: list[str]) -> None:
        self.objects, self.before = 0, self._used()  # bytes
        self.cpu: dict[int, float] = {}  # process -> seconds, as last seen
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=HOME
        )
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def end(self) -> tuple[str, str]:
        """Standard output and error, once the process has ended."""
        told = self.process.communicate()
        self.over.set()
        self.thread.join()
        return told

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values())

    def _watch(self) -> None:
        while not self.over.wait(LOOK_EVERY):
            self.objects = max(self.objects, self._used() - self.before)
            self._count()

    def _count(self) -> None:
        stats = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            stats[int(path.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
        for pid in stats:
            at, seen = pid, set()
            while at in stats and at not in seen and at != self.process.pid:
                seen.add(at)
                at = stats[at][0]
            if at == self.process.pid or pid in self.cpu:  # Ray's may outlive their parent
                self.cpu[pid] = stats[pid][1] / TICKS

    @staticmethod
    def _used() -> int:
        return shutil.disk_usage(OBJECTS).used if OBJECTS.is_dir() else 0


def must_be_same(local: Path, ray: Path) -> None:
    """Raises Failed if a published file differs by a byte."""
    files = sorted(path.relative_to(local) for path in local.glob("*/*.h5"))
    differ = [str(file) for file in files if (local / file).read_bytes() != (ray / file).read_bytes()]
    if differ or not files:
        raise errors.Failed(f"the engines' files differ: {', '.join(differ) or 'there are none'}")


def refuse_few(rows: int) -> None:
    """Raise Refused where a driver cannot be killed half way: while it dies, workers may finish a part or two."""
    from extract.engine import PART_ROWS

    size = PART_ROWS["cpu"]["image"]
    if (plan := -(-rows // size)) < LEAST_PARTS:
        raise errors.Refused(
            f"{rows:,} images are {plan} part{'s' * (plan > 1)}, and the driver is killed when half of them are there: "
            f"--rows {(LEAST_PARTS - 1) * size // 10 + 1} or more"
        )


def resume(data: Path, features: Path, asked: Asked) -> Resumed:
    """Kill the driver when half the images' parts are there; run it again."""
    from extract.engine import PART_ROWS

    plan = -(-len(dataset.read(data, "train").memes) // PART_ROWS["cpu"]["image"])
    command = _command("ray", data, features, asked)
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=HOME)
    while len(_parts(features)) < plan // 2 and killed.poll() is None:
        time.sleep(LOOK_EVERY)
    killed.send_signal(signal.SIGKILL)
    _, told = killed.communicate()
    time.sleep(2)  # workers that outlive their driver for a moment may yet finish a part
    kept = _parts(features)
    if not 0 < len(kept) < plan:
        raise errors.Failed(
            f"the driver was to be killed half way, but {len(kept)} of {plan} parts are there\n{told.decode()[-2000:]}"
        )
    start = time.perf_counter()
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=HOME)
    while not (new := _parts(features).keys() - kept.keys()) and again.poll() is None:
        time.sleep(LOOK_EVERY)
    first = time.perf_counter() - start
    touched = sum(_parts(features).get(path, stamp) != stamp for path, stamp in kept.items())
    _, told = again.communicate()
    if again.returncode or not new:
        raise errors.Failed(f"the second run failed with status {again.returncode}:\n{told.decode()[-2000:]}")
    return Resumed(plan, len(kept), touched, first, time.perf_counter() - start)


def _parts(features: Path) -> dict[Path, int]:
    """Image part files -> when each was written; a driver that publishes sweeps them, and their folder, meanwhile."""
    found = {}
    with suppress(FileNotFoundError):
        for path in features.glob("*/.parts/*/[!.]*.h5"):
            with suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
    return found
