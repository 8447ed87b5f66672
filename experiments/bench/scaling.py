"""How training's time and memory grow with rows, dims and runs; one epoch each, every training a process of its own.

`python -m experiments.bench.scaling JOB.json` is such a process; it prints seconds and peak memory, a JSON object.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from experiments.bench import random_inputs, timing
from extract import errors
from extract.files import replacing, write_text

CACHE_BYTES = 256 << 20  # what training may keep of the vectors: less than the largest, to show what then happens
DIMS = (384, 512)  # text, image
FEW_ROWS = 20_000  # where dims or runs grow
DEV_ROWS = 2_000
RUNS = 5  # where rows or dims grow
MANY_RUNS = (1, 5, 20, 80)
WIDER = (1, 2, 4)  # times DIMS
SAMPLED_EVERY = 0.02  # seconds


@dataclass(frozen=True)
class TimedTraining:
    """One training of early fusion for one epoch."""

    axis: str  # what grows: "rows", "dims" or "runs"
    rows: int
    dims: int  # text and image together
    runs: int
    seconds: float  # reading, standardising and scoring dev included
    own_mb: float  # peak of the process' own memory
    resident_mb: float  # peak with mapped pages of the files, which the kernel takes back when memory is short
    file_mb: float  # train vectors on disk


def measure_all(out: Path, rows: int, device: str) -> int:
    """Measure every training and write bench_scaling.md, .json, .png and .svg."""
    few = min(FEW_ROWS, rows)
    # four sizes, each about three times the one before
    jobs = [("rows", max(rows // part, 1), DIMS, RUNS) for part in (30, 10, 3, 1)]
    jobs += [("dims", few, (DIMS[0] * times, DIMS[1] * times), RUNS) for times in WIDER]
    jobs += [("runs", few, DIMS, runs) for runs in MANY_RUNS]
    trainings: list[TimedTraining] = []
    with tempfile.TemporaryDirectory() as scratch, tqdm(total=len(jobs), unit="training", disable=None) as bar:
        made: dict[tuple[int, int], Path] = {}
        for axis, count, dims, runs in jobs:
            if dims not in made:
                sizes = {"train": rows if dims == DIMS else few, "dev": min(DEV_ROWS, rows)}
                made[dims] = random_inputs.publish_vectors(Path(scratch) / f"{sum(dims)}", sizes, dims)
            trainings.append(measure(axis, made[dims], count, dims, runs, device))
            bar.update()
    write(out, trainings, device)
    return 0


def measure(axis: str, features: Path, rows: int, dims: tuple[int, int], runs: int, device: str) -> TimedTraining:
    job = {"features": str(features), "rows": rows, "runs": runs, "device": device}
    _, told = timing.in_a_process("experiments.bench.scaling", job, features / "job.json")
    return TimedTraining(axis, rows, sum(dims), runs, **told, file_mb=rows * sum(dims) * 4 / 2**20)


def write(out: Path, trainings: Sequence[TimedTraining], device: str) -> None:
    from experiments import tables  # late: a training's process does without, and its memory is measured

    header = ["what grows", "rows", "dims", "runs", "seconds", "own memory, MB", "with mapped pages, MB", "vectors, MB"]
    cells = [
        [each.axis, f"{each.rows:,}", f"{each.dims:,}", f"{each.runs:,}", f"{each.seconds:.1f}"]
        + [f"{value:,.0f}" for value in (each.own_mb, each.resident_mb, each.file_mb)]
        for each in trainings
    ]
    table = tables.Table("One epoch of early fusion", header, cells)
    about = (
        f"One epoch of early fusion with the shipped recipe, on memory-mapped random vectors; {device}, "
        f"{timing.load()}. Every training is a process of its own, measured once. It may keep {CACHE_BYTES >> 20:,} MB "
        "of standardised vectors (`cache_bytes`); what is more it reads in windows. Own memory is what the process "
        "cannot give back, its libraries' included; mapped pages are the kernel's cache of the files, which it drops "
        "when memory is short."
    )
    write_text(out / "bench_scaling.md", f"# How training grows\n\n{about}\n\n{tables.markdown(table)}\n")
    write_text(out / "bench_scaling.json", json.dumps([asdict(each) for each in trainings], indent=1) + "\n")
    print(about, tables.plain(table), sep="\n\n")
    plots = plot(out, trainings)
    print(f"Written to {out}: bench_scaling.md, bench_scaling.json{plots}.", file=sys.stderr)


def plot(out: Path, trainings: Sequence[TimedTraining]) -> str:
    """Seconds above, memory below; what grows from left to right. Says so where matplotlib is not installed."""
    if fault := errors.not_installed(["matplotlib"], "report"):
        print(f"no plot: it needs {fault}", file=sys.stderr)
        return ""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(2, 3, sharey="row")
    for column, axis in enumerate(("rows", "dims", "runs")):
        members = [each for each in trainings if each.axis == axis]
        at = [getattr(each, axis) for each in members]
        above, below = axes[0][column], axes[1][column]
        above.loglog(at, [each.seconds for each in members], "o-", color="#0072B2")
        proportional = [members[-1].seconds * count / at[-1] for count in at]
        above.loglog(at, proportional, "--", color="grey", linewidth=0.8, label="in proportion")
        below.loglog(at, [each.own_mb for each in members], "o-", color="#D55E00", label="own memory")
        below.loglog(at, [each.file_mb for each in members], "--", color="grey", linewidth=0.8, label="vectors")
        below.set_xlabel(axis)
        for panel in (above, below):
            panel.set_xticks(at, [f"{count:,}" for count in at])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
    for row, label in enumerate(("seconds an epoch", "peak memory, MB")):
        axes[row][0].set_ylabel(label)
        axes[row][0].legend(frameon=False)
    for kind in ("png", "svg"):
        with replacing(out / f"bench_scaling.{kind}") as aside:
            figure.savefig(aside, format=kind, dpi=150)
    return ", bench_scaling.png, bench_scaling.svg"


def main(argv: list[str]) -> None:
    """Train JOB.json: features (a folder of random vectors), rows, runs, device.

    Its own (anonymous) memory is sampled; pages of mapped files are not in it: the kernel takes them back at need.
    """
    from extract import store
    from heads.train import HeadSettings, Rows, fit

    job = json.loads(Path(argv[0]).read_text())
    splits = {}
    for split, rows in (("train", job["rows"]), ("dev", None)):
        folders = (Path(job["features"]) / name for name in random_inputs.NAMES.values())
        text, image = (store.read(folder / f"{split}.h5") for folder in folders)
        splits[split] = Rows(text.vector[:rows], image.vector[:rows], text.label[:rows])
    train, dev, device = splits["train"], splits["dev"], job["device"]
    runs = [HeadSettings(max_epochs=1, min_steps=1, seed=seed) for seed in range(job["runs"])]
    few = Rows(train.text_vec[:64], train.image_vec[:64], train.label[:64])
    fit("early", few, dev, runs[:1], device=device)  # torch reads parts of itself in at the first step
    own_kb = [0]

    def look() -> None:
        status = Path("/proc/self/status").read_text().splitlines()
        own_kb.extend(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))

    with timing.Sampling(look, SAMPLED_EVERY):
        start = time.perf_counter()
        fit("early", train, dev, runs, device=device, cache_bytes=CACHE_BYTES)
        seconds = time.perf_counter() - start
    resident_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "own_mb": max(own_kb) / 1024, "resident_mb": resident_kb / 1024}))


if __name__ == "__main__":
    main(sys.argv[1:])
