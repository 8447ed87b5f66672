"""Stage 1 against the usual notebook: memes a second from files to HDF5, the share of the roof, and peak memory."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from extract import dataset, errors, store

ROOF_BATCHES = 12


@dataclass(frozen=True)
class Timed:
    """Seconds of each repeat for one modality of one way."""

    ours: list[float]
    notebook: list[float]
    roof: list[float]
    rows: int
    cosine: float  # the lowest between our vector and the notebook's of the same meme


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or draw(Path(scratch) / "memes", 2 * args.rows)
        # drawn captions occur twice; equal texts are encoded once, which would flatter us
        distinct = {meme.text: meme for meme in dataset.read(data, "train").memes}
        memes = list(distinct.values())[: args.rows]
        folder = _subset(Path(scratch) / "subset", data, memes)
        results = {}
        for kind, name in (("text", args.text_encoder), ("image", args.image_encoder)):
            results[kind] = _compare(kind, name, memes, folder, Path(scratch), args)
        memory = {} if args.no_memory else _memory(Path(scratch), args)
    _write(args, results, memory)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench extract",
        description=__doc__,
        epilog="example:\n  python -m experiments.bench extract --data data/hateful_memes --rows 512",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="dataset whose first train rows are used (default: drawn memes)")
    add("--rows", type=int, default=512, metavar="N", help="memes (default: 512)")
    add(
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="interleaved repeats (default: 3)",
    )
    add("--text-encoder", default="all-MiniLM-L6-v2", metavar="E")
    add("--image-encoder", default="resnet50-keras", metavar="E")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--no-memory", action="store_true", help="leave out the runs that measure peak memory")
    add(
        "--out",
        type=Path,
        default=Path("reports"),
        metavar="DIR",
        help="where the table goes (default: reports)",
    )
    return parser


def draw(folder: Path, rows: int) -> Path:
    from extract import sample

    with open(os.devnull, "w") as sink, redirect_stderr(sink):
        sample.main(["--out", str(folder), "--train", str(rows), "--dev", "4", "--test", "4"])
    return folder


def _subset(folder: Path, data: Path, memes: list[dataset.Meme]) -> Path:
    """A dataset of these memes alone, its images linked."""
    folder.mkdir()
    (folder / "img").symlink_to((data / "img").resolve())
    rows = [
        {"id": meme.id, "img": os.path.relpath(str(meme.image), data), "text": meme.text, "label": meme.label or 0}
        for meme in memes
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _compare(
    kind: str, name: str, memes: list[dataset.Meme], folder: Path, scratch: Path, args: argparse.Namespace
) -> Timed:
    """Interleave the ways; loading an encoder counts for neither."""
    from experiments.bench.notebook import ImageNotebook, TextNotebook
    from experiments.bench.pipeline import Pipeline

    ours = Pipeline(kind, name, folder, args.device)
    notebook = (TextNotebook if kind == "text" else ImageNotebook)(ours.located, ours.device)
    times = Timed([], [], [], len(memes), 1.0)
    for repeat in range(args.repeats + 1):
        features = scratch / f"{kind}-{repeat}"
        baseline = scratch / f"{kind}-{repeat}.h5"
        seconds = [_seconds(lambda: ours.run(features)), _seconds(lambda: notebook.run(memes, baseline))]  # noqa: B023
        if repeat:  # the first round warms up
            times.ours.append(seconds[0])
            times.notebook.append(seconds[1])
            times.roof.append(ours.roof_seconds(ROOF_BATCHES) * len(memes))
    with h5py.File(baseline) as file:
        vector = np.asarray(store.read(ours.published(features)).vector)
        return replace(times, cosine=_lowest_cosine(vector, file["vector"][:]))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _lowest_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


def _memory(scratch: Path, args: argparse.Namespace) -> dict[int, float]:
    """Peak resident memory, in MB, of `python -m extract` on as many and on ten times as many memes."""
    peaks = {}
    for rows in (args.rows // 4, args.rows // 4 * 10):
        data = draw(scratch / f"memory-{rows}", rows)
        command = [sys.executable, "-m", "extract", "--data", str(data), "--features", str(scratch / f"peak-{rows}")]
        command += ["--split", "train", "--text-encoder", args.text_encoder, "--image-encoder", args.image_encoder]
        command += ["--device", args.device, "--quiet"]
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        answer = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
        if answer.returncode:
            raise errors.Failed(f"extract failed on {rows} memes: {answer.stderr}")
        peaks[rows] = int(answer.stdout) / 1024
    return peaks


def _write(args: argparse.Namespace, results: dict[str, Timed], memory: dict[int, float]) -> None:
    source = args.data.name if args.data else "drawn"
    lines = [
        f"# Stage 1: {args.rows:,} {source} memes, medians of {args.repeats} interleaved runs, {os.cpu_count()} cores",
        "",
        "| modality | encoder | memefuse /s | notebook /s | ratio (min, max) | roof /s | of roof | least cosine |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, timed in results.items():
        ours, notebook, roof = (timed.rows / statistics.median(way) for way in (timed.ours, timed.notebook, timed.roof))
        ratios = [theirs / mine for mine, theirs in zip(timed.ours, timed.notebook, strict=True)]
        share = statistics.median(roof / mine for mine, roof in zip(timed.ours, timed.roof, strict=True))
        encoder = args.text_encoder if kind == "text" else args.image_encoder
        lines.append(
            f"| {kind} | {encoder} | {ours:.1f} | {notebook:.1f} | {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f}, {max(ratios):.1f}) | {roof:.1f} | {share:.0%} | {timed.cosine:.5f} |"
        )
    lines.append(
        "\nThe notebook's way: float32, NCHW, batches of 32 in file order padded to their longest text, Pillow in the\n"
        "main process, nothing overlapped. Both end in HDF5; loading the encoder counts for neither. Roof: the\n"
        "encoder alone on ready tensors. Cosine: of our vector and the notebook's for the same meme.\n"
    )
    lines += [f"Peak memory of `python -m extract` on {rows:,} memes: {peak:,.0f} MB." for rows, peak in memory.items()]
    table = "\n".join(lines) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench_extract.md").write_text(table)
    print(table)
