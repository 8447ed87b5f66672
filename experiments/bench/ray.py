"""The Ray engine on one machine against the local engine: time, the driver's memory at ten times the rows, resuming."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from experiments import tables
from experiments.bench import timing
from experiments.bench.random_inputs import draw_memes
from experiments.bench.timing import HOME, Sampling, environment, middle, ratios
from experiments.results import records
from extract import dataset, errors, store
from extract.engine import PART_ROWS
from extract.files import write_text
from extract.progress import say

ENGINES = {"local": (), "ray": ("--engine", "ray")}
OBJECTS = Path("/dev/shm")  # where Ray keeps its objects, on Linux
LOOK_EVERY = 0.1  # seconds
LEAST_PARTS = 4  # of images, in the run that is killed
TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, a second
NOTES = """\
Both engines: `python -m extract` in a process of its own, from cold start to published files, by turns. Ray runs on
this machine alone, and is started and ended within the time. Processor: the seconds of all processes of an engine,
which say more than wall time where other programs have the same cores. A further meme's time is the difference of two
sizes, so that starts cancel. Driver: the most resident memory of the process that holds the plan. Objects: the most
that lay in Ray's shared memory. Resuming: the driver is killed (SIGKILL) when half the image parts are there, and run
again. The files of both engines were compared: they are equal to the byte."""


@dataclass(frozen=True)
class TimedExtraction:
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
    finished: int  # parts that were finished when the driver was killed
    touched: int  # of those, how many were written again
    first_seconds: float  # from the second start to its first new part
    seconds: float  # from the second start to published files


def run(args: argparse.Namespace) -> int:
    """args: as `options.ray` reads them."""
    refuse_few(10 * args.rows)
    timed: list[TimedExtraction] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        few, many = (distinct_memes(folder / f"memes-{rows}", rows) for rows in (args.rows, 10 * args.rows))
        for repeat in range(args.repeats):
            timed += [measure(engine, few, folder / f"{engine}-{repeat}", args) for engine in ENGINES]
        must_be_same(folder / "local-0", folder / "ray-0")
        timed += [measure(engine, many, folder / f"{engine}-many", args) for engine in ENGINES]
        must_be_same(folder / "local-many", folder / "ray-many")
        write(args.out, timed, None)  # a resumed run that fails must not cost the rest
        resumed = resume(many, folder / "resumed", args)
    print(tables.plain(table(timed)), *write(args.out, timed, resumed), sep="\n\n")
    return 0


def refuse_few(rows: int) -> None:
    """Raise Refused where a driver cannot be killed half way: while it dies, workers may finish a part or two."""
    size = PART_ROWS["cpu"]["image"]
    if (plan := -(-rows // size)) < LEAST_PARTS:
        raise errors.Refused(
            f"{rows:,} images are {plan} part{'s' * (plan > 1)}, and the driver is killed when half of them are there: "
            f"--rows {(LEAST_PARTS - 1) * size // 10 + 1} or more"
        )


def distinct_memes(folder: Path, rows: int) -> Path:
    """Draw memes whose texts all differ: equal ones would be encoded once, and rows could not be counted by texts."""
    path = draw_memes(folder, rows) / "train.jsonl"
    memes = enumerate(map(json.loads, path.read_text().splitlines()))
    path.write_text("".join(json.dumps(meme | {"text": f"{meme['text']} {row}"}) + "\n" for row, meme in memes))
    return folder


def start(engine: str, data: Path, features: Path, args: argparse.Namespace) -> subprocess.Popen[str]:
    """Start `python -m extract`, which at its end prints the driver's most resident memory, in kB."""
    names = {"text": args.text_encoder, "image": args.image_encoder}
    return start_command([*timing.extract(data, features, names, "cpu"), "--dtype", args.dtype, *ENGINES[engine]])


def start_command(command: list[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment(), cwd=HOME)


def measure(engine: str, data: Path, features: Path, args: argparse.Namespace) -> TimedExtraction:
    began = time.perf_counter()
    usage = Usage(start(engine, data, features, args))
    with Sampling(usage.look, LOOK_EVERY):
        stdout, stderr = usage.process.communicate()
        seconds = time.perf_counter() - began
    if usage.process.returncode:
        raise errors.Failed(f"the {engine} engine failed with status {usage.process.returncode}:\n{stderr[-2000:]}")
    rows = len(store.read(next(features.glob("*/train.h5"))))
    say(f"{engine}, {rows:,} memes: {seconds:.1f} s, {usage.cpu_seconds:.1f} s of the processor")
    return TimedExtraction(
        engine, rows, seconds, usage.cpu_seconds, int(stdout.split()[-1]) / 1024, usage.objects / 2**20
    )


class Usage:
    """What a process and all that it starts take, look by look: processor seconds, and shared memory in use meanwhile.

    Wall time says little where other programs have the same cores; processor time does.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.objects, self.before = process, 0, self._used()  # bytes
        self.cpu: dict[int, float] = {}  # process -> seconds, as last seen

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values())

    def look(self) -> None:
        self.objects = max(self.objects, self._used() - self.before)
        stats = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has just ended
                fields = path.read_text().rpartition(")")[2].split()
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
    """Raise Failed if a published file differs by a byte."""
    files = sorted(path.relative_to(local) for path in local.glob("*/*.h5"))
    differ = [str(file) for file in files if (local / file).read_bytes() != (ray / file).read_bytes()]
    if differ or not files:
        raise errors.Failed(f"the engines' files differ: {', '.join(differ) or 'there are none'}")


def resume(data: Path, features: Path, args: argparse.Namespace) -> Resumed:
    """Kill the driver when half the images' parts are there; run it again."""
    plan = -(-len(dataset.read_split(data, "train").memes) // PART_ROWS["cpu"]["image"])
    killed = start("ray", data, features, args)
    while len(image_parts(features)) < plan // 2 and killed.poll() is None:
        time.sleep(LOOK_EVERY)
    killed.send_signal(signal.SIGKILL)
    _, told = killed.communicate()
    time.sleep(2)  # workers that outlive their driver for a moment may yet finish a part
    finished = image_parts(features)
    if not 0 < len(finished) < plan:
        raise errors.Failed(
            f"the driver was to be killed half way, but {len(finished)} of {plan} parts are there\n{told[-2000:]}"
        )
    began = time.perf_counter()
    again = start("ray", data, features, args)
    while not (new := image_parts(features).keys() - finished.keys()) and again.poll() is None:
        time.sleep(LOOK_EVERY)
    first = time.perf_counter() - began
    touched = sum(image_parts(features).get(path, stamp) != stamp for path, stamp in finished.items())
    _, told = again.communicate()
    if again.returncode or not new:
        raise errors.Failed(f"the second run failed with status {again.returncode}:\n{told[-2000:]}")
    return Resumed(plan, len(finished), touched, first, time.perf_counter() - began)


def image_parts(features: Path) -> dict[Path, int]:
    """Return when each image part was written; a driver that publishes sweeps them, and their folder, meanwhile."""
    written = {}
    with suppress(FileNotFoundError):
        for path in features.glob("*/.parts/*/[!.]*.h5"):
            with suppress(FileNotFoundError):
                written[path] = path.stat().st_mtime_ns
    return written


def write(out: Path, timed: list[TimedExtraction], resumed: Resumed | None) -> list[str]:
    """Write what is measured so far. Returns what is said of the table."""
    lines = slopes(timed)
    if resumed:
        lines.append(
            f"Killed with {resumed.finished} of {resumed.parts} image parts finished; run again, the first new part "
            f"was there after {resumed.first_seconds:.1f} s and everything published after {resumed.seconds:.1f} s; "
            f"{resumed.touched} finished parts were written again."
        )
    lines.append(f"{timing.load()}.")
    shown = table(timed)
    write_text(out / "bench_ray.md", tables.page(f"# {shown.title}", shown, *lines, NOTES))
    raw = {"timed": [asdict(each) for each in timed], "resumed": asdict(resumed) if resumed else None}
    write_text(out / "bench_ray.json", json.dumps(raw | {"code": records.code_version()}, indent=1) + "\n")
    return lines


def table(timed: list[TimedExtraction]) -> tables.Table:
    """Each engine at each size, from cold start."""
    runs, rows = dict(list(pd.DataFrame(map(asdict, timed)).groupby(["rows", "engine"]))), []
    for (size, engine), ours in runs.items():
        cells, local = [engine, f"{size:,}"], runs[size, "local"]
        for what in ("seconds", "cpu_seconds"):
            seconds = ours[what].tolist()
            cells += [middle(seconds), middle(ratios(seconds, local[what].tolist()), 2)]
        rows.append([*cells, *(f"{ours[what].max():,.0f}" for what in ("driver_mb", "objects_mb"))])
    times = ["seconds", "times local's", "processor s", "times local's"]
    header = ["engine", "memes", *times, "driver, MB", "objects, MB"]
    return tables.Table("Ray Data against the local engine", header, rows)


def slopes(timed: list[TimedExtraction]) -> list[str]:
    """Say what a further meme costs each engine: time without starts, and the driver's memory."""
    runs = pd.DataFrame(map(asdict, timed)).groupby(["rows", "engine"])
    few, many = (pick(each.rows for each in timed) for pick in (min, max))
    middles, most = runs.median(), runs.max()
    per_meme = (middles.loc[many] - middles.loc[few]) / (many - few)  # by engine
    said = []
    for what, name in (("seconds", "wall"), ("cpu_seconds", "processor")):
        local, ray = (per_meme[what][engine] for engine in ENGINES)
        said.append(
            f"Without starts, each further meme, {name} time: {1000 * local:.1f} ms local, {1000 * ray:.1f} ms ray "
            f"({ray / local:.2f} times)."
        )
    grown = 1024 * (most.loc[many] - most.loc[few])["driver_mb"] / (many - few)
    told = ", ".join(f"{grown[name]:.1f} kB {name}" for name in ENGINES)
    return [*said, f"The driver grew for each further meme by: {told}."]
