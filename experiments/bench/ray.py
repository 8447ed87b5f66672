"""The Ray engine on one machine against the local engine: time, the driver's memory at ten times the rows, resuming."""

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path

from experiments import tables
from experiments.bench.ray_runs import ENGINES, Asked, Resumed, Timed, drawn, must_be_same, refuse_few, resume, run
from experiments.bench.ways import middle
from experiments.results import records
from extract.files import write_text

NOTES = """\
Both engines: `python -m extract` in a process of its own, from cold start to published files, by turns. Ray runs on
this machine alone, and is started and ended within the time. Processor: the seconds of all processes of an engine,
which say more than wall time where other programs have the same cores. A further meme's time is the difference of two
sizes, so that starts cancel. Driver: the most resident memory of the process that holds the plan. Objects: the most
that lay in Ray's shared memory. Resuming: the driver is killed (SIGKILL) when half the image parts are there, and run
again. The files of both engines were compared: they are equal to the byte.
"""


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    refuse_few(10 * args.rows)
    asked = Asked(args.text_encoder, args.image_encoder, args.dtype)
    timed: list[Timed] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        data = {rows: drawn(folder / f"memes-{rows}", rows) for rows in (args.rows, 10 * args.rows)}
        for repeat in range(args.repeats):
            timed += [run(engine, data[args.rows], folder / f"{engine}-{repeat}", asked) for engine in ENGINES]
        must_be_same(folder / "local-0", folder / "ray-0")
        timed += [run(engine, data[10 * args.rows], folder / f"{engine}-many", asked) for engine in ENGINES]
        must_be_same(folder / "local-many", folder / "ray-many")
        _write(args.out, timed, None)
        resumed = resume(data[10 * args.rows], folder / "resumed", asked)
    print(tables.plain(table(timed)), *_write(args.out, timed, resumed), sep="\n\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench ray",
        description=__doc__,
        epilog="example:\n  python -m experiments.bench ray --rows 128",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, default=128, metavar="N", help="drawn memes, and ten times as many (default: 128)")
    add("--repeats", type=int, default=2, metavar="N", help="interleaved repeats of the small size (default: 2)")
    add("--text-encoder", default="all-MiniLM-L6-v2", metavar="E")
    add("--image-encoder", default="resnet50-keras", metavar="E")
    add("--dtype", default="auto", metavar="T", help="arithmetic of the encoders (default: auto)")
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="where the table goes (default: reports)")
    return parser


def _write(out: Path, timed: list[Timed], resumed: Resumed | None) -> list[str]:
    """What is measured so far: a resumed run that fails must not cost the rest. Returns what is said of the table."""
    lines = slopes(timed)
    if resumed:
        lines.append(
            f"Killed with {resumed.kept} of {resumed.parts} image parts finished; run again, the first new part was "
            f"there after {resumed.first_seconds:.1f} s and everything published after {resumed.seconds:.1f} s; "
            f"{resumed.touched} finished parts were written again."
        )
    lines.append(f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}.")
    shown = table(timed)
    write_text(out / "bench_ray.md", "\n\n".join([f"# {shown.title}", tables.markdown(shown), *lines, NOTES]))
    found = {
        "timed": [asdict(each) for each in timed],
        "resumed": asdict(resumed) if resumed else None,
        "code": records.code_version(),
    }
    write_text(out / "bench_ray.json", json.dumps(found, indent=1) + "\n")
    return lines


def _by_engine_and_size(timed: list[Timed]) -> dict[tuple[str, int], list[Timed]]:
    sizes = sorted({each.rows for each in timed})
    return {(name, size): [each for each in timed if (each.engine, each.rows) == (name, size)]
            for size in sizes for name in ENGINES}  # fmt: skip


def table(timed: list[Timed]) -> tables.Table:
    """Each engine at each size, from cold start."""
    runs = _by_engine_and_size(timed)
    rows = []
    for (name, size), members in runs.items():
        others = runs["local", size]
        rows.append(
            [
                name,
                f"{size:,}",
                middle([each.seconds for each in members]),
                middle([one.seconds / other.seconds for one, other in zip(members, others, strict=True)], 2),
                middle([each.cpu_seconds for each in members]),
                middle([one.cpu_seconds / other.cpu_seconds for one, other in zip(members, others, strict=True)], 2),
                f"{max(each.driver_mb for each in members):,.0f}",
                f"{max(each.objects_mb for each in members):,.0f}",
            ]
        )
    header = [
        "engine",
        "memes",
        "seconds",
        "times local's",
        "processor s",
        "times local's",
        "driver, MB",
        "objects, MB",
    ]
    return tables.Table("Ray Data against the local engine", header, rows)


def slopes(timed: list[Timed]) -> list[str]:
    """What a further meme costs each engine: time without starts, and the driver's memory."""
    runs = _by_engine_and_size(timed)
    few, *_, many = sorted({each.rows for each in timed})
    said = []
    for what, name in (("seconds", "wall"), ("cpu_seconds", "processor")):
        middles = {key: statistics.median(getattr(each, what) for each in members) for key, members in runs.items()}
        local, ray = ((middles[engine, many] - middles[engine, few]) / (many - few) for engine in ENGINES)
        said.append(
            f"Without starts, each further meme, {name} time: {1000 * local:.1f} ms local, {1000 * ray:.1f} ms ray "
            f"({ray / local:.2f} times)."
        )
    grown = {name: max(each.driver_mb for each in runs[name, many]) - max(each.driver_mb for each in runs[name, few])
             for name in ENGINES}  # fmt: skip
    growth = ", ".join(f"{each * 1024 / (many - few):.1f} kB {name}" for name, each in grown.items())
    return [*said, f"The driver grew for each further meme by: {growth}."]
