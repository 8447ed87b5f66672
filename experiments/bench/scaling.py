"""How training's time and memory grow with rows, dims and runs; one epoch each, every point a process of its own."""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments import tables
from experiments.bench import random_features
from experiments.bench.ways import process
from extract import errors
from extract.files import replacing, write_text
from extract.machine import resolve_device

CACHE_BYTES = (
    256 << 20
)  # what training may keep of the vectors: less than the largest caches, to show what then happens
DIMS = (384, 512)  # text, image
FEW_ROWS = 20_000  # where dims or runs grow
DEV_ROWS = 2_000
RUNS = 5  # where rows or dims grow
MANY_RUNS = (1, 5, 20, 80)
WIDER = (1, 2, 4)  # times DIMS
SETTINGS = {"max_epochs": 1, "min_steps": 1}


@dataclass(frozen=True)
class Point:
    """One training of early fusion for one epoch."""

    axis: str  # what grows: "rows", "dims" or "runs"
    rows: int
    dims: int  # text and image together
    runs: int
    seconds: float  # reading, standardising and scoring dev included
    own_mb: float  # peak of the process' own memory
    resident_mb: float  # peak with mapped pages of the files, which the kernel takes back when memory is short
    file_mb: float  # train vectors on disk


def main(out: Path, rows: int, device: str) -> int:
    """Measure every point and write bench_scaling.md, .json, .png and .svg."""
    from tqdm import tqdm

    device = resolve_device(device)
    few = min(FEW_ROWS, rows)
    jobs = [("rows", count, DIMS, RUNS) for count in rows_of(rows)]
    jobs += [("dims", few, (DIMS[0] * times, DIMS[1] * times), RUNS) for times in WIDER]
    jobs += [("runs", few, DIMS, runs) for runs in MANY_RUNS]
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as scratch, tqdm(total=len(jobs), unit="point", disable=None) as bar:
        made: dict[tuple[int, int], Path] = {}
        for axis, count, dims, runs in jobs:
            if dims not in made:
                sizes = {"train": rows if dims == DIMS else few, "dev": min(DEV_ROWS, rows)}
                made[dims] = random_features.publish(Path(scratch) / f"{sum(dims)}", sizes, dims)
            points.append(measure(axis, made[dims], count, dims, runs, device))
            bar.update()
    write(out, points, device)
    return 0


def rows_of(most: int) -> list[int]:
    """Four sizes up to `most`, each about three times the one before."""
    return [max(most // part, 1) for part in (30, 10, 3, 1)]


def measure(axis: str, features: Path, rows: int, dims: tuple[int, int], runs: int, device: str) -> Point:
    job = {
        "features": str(features), "rows": rows, "runs": runs, "settings": SETTINGS, "cache_bytes": CACHE_BYTES,
        "device": device,
    }  # fmt: skip
    path = features / "job.json"
    path.write_text(json.dumps(job))
    told: dict[str, Any] = json.loads(process([sys.executable, "-m", "experiments.bench.point", str(path)])[1])
    file_mb = rows * sum(dims) * 4 / 2**20
    return Point(axis, rows, sum(dims), runs, told["seconds"], told["own_mb"], told["resident_mb"], file_mb)


def write(out: Path, points: Sequence[Point], device: str) -> None:
    table = tables.Table(
        "One epoch of early fusion",
        ["what grows", "rows", "dims", "runs", "seconds", "own memory, MB", "with mapped pages, MB", "vectors, MB"],
        [
            [point.axis, f"{point.rows:,}", f"{point.dims:,}", f"{point.runs:,}", f"{point.seconds:.1f}"]
            + [f"{value:,.0f}" for value in (point.own_mb, point.resident_mb, point.file_mb)]
            for point in points
        ],
    )
    about = (
        f"One epoch of early fusion with the shipped recipe, on memory-mapped random vectors; {device}, "
        f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}. Every point is a process of its own, "
        f"measured once. Training may keep {CACHE_BYTES >> 20:,} MB of standardised vectors (`cache_bytes`); what is "
        "more it reads in windows. Own memory is what the process cannot give back, its libraries' included; mapped "
        "pages are the kernel's cache of the files, which it drops when memory is short."
    )
    write_text(out / "bench_scaling.md", f"# How training grows\n\n{about}\n\n{tables.markdown(table)}\n")
    write_text(out / "bench_scaling.json", json.dumps([asdict(point) for point in points], indent=1) + "\n")
    print(about, tables.plain(table), sep="\n\n")
    drawn = draw(out, points)
    print(f"Written to {out}: bench_scaling.md, bench_scaling.json{drawn}.", file=sys.stderr)


def draw(out: Path, points: Sequence[Point]) -> str:
    """Seconds above, memory below; what grows from left to right. Says so where matplotlib is not installed."""
    if fault := errors.not_installed(["matplotlib"], "report"):
        print(f"no plot: it needs {fault}", file=sys.stderr)
        return ""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(2, 3, sharey="row")
    for place, axis in enumerate(("rows", "dims", "runs")):
        members = [point for point in points if point.axis == axis]
        at = [getattr(point, axis) for point in members]
        above, below = axes[0][place], axes[1][place]
        above.loglog(at, [point.seconds for point in members], "o-", color="#0072B2")
        proportional = [members[-1].seconds * count / at[-1] for count in at]
        above.loglog(at, proportional, "--", color="grey", linewidth=0.8, label="in proportion")
        below.loglog(at, [point.own_mb for point in members], "o-", color="#D55E00", label="own memory")
        below.loglog(at, [point.file_mb for point in members], "--", color="grey", linewidth=0.8, label="vectors")
        below.set_xlabel(axis)
        for panel in (above, below):
            panel.set_xticks(at, [f"{count:,}" for count in at])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("seconds an epoch")
    axes[1][0].set_ylabel("peak memory, MB")
    axes[0][0].legend(frameon=False)
    axes[1][0].legend(frameon=False)
    for kind in ("png", "svg"):
        with replacing(out / f"bench_scaling.{kind}") as aside:
            figure.savefig(aside, format=kind, dpi=150)
    return ", bench_scaling.png, bench_scaling.svg"
