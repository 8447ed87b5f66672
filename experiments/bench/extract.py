"""Stage 1 against the usual notebook: memes a second from files to HDF5, the share of the roof, and peak memory."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from experiments.bench.extract_table import Timed, table
from extract import dataset, errors, store
from extract.encoders import catalogue
from extract.machine import cores, resolve_device

if TYPE_CHECKING:
    from experiments.bench.pipeline import Pipeline

ROOF_BATCHES = 12
EXAMPLES = """\
examples:
  python -m experiments.bench extract --data data/hateful_memes --rows 512
  python -m experiments.bench extract --random-weights --rows 4000 --device cuda
"""
ENCODERS = {"text": "all-MiniLM-L6-v2", "image": "resnet50-keras"}  # to be had without a hub


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    _refuse(args)
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or draw(Path(scratch) / "memes", 2 * args.rows)
        # drawn captions occur twice; equal texts are encoded once, which would flatter us
        distinct = {meme.text: meme for meme in dataset.read(data, "train").memes}
        memes = list(distinct.values())[: args.rows]
        folder = _subset(Path(scratch) / "subset", data, memes)
        names = _encoders(args, memes, Path(scratch))
        results = {kind: _compare(kind, name, memes, folder, Path(scratch), args) for kind, name in names.items()}
        memory = {} if args.no_memory else _memory(names, Path(scratch), args)
    _write(args, names, results, memory)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench extract",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="dataset whose first train rows are used (default: drawn memes)")
    add("--rows", type=int, default=512, metavar="N", help="memes (default: 512)")
    add("--repeats", type=int, default=3, metavar="N", help="interleaved repeats (default: 3)")
    for kind, name in ENCODERS.items():
        add(f"--{kind}-encoder", metavar="E", help=f"name or folder (default: {name})")
    add("--random-weights", action="store_true", help="BERT-base and ResNet-50 with random weights: needs no download")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--no-memory", action="store_true", help="leave out the runs that measure peak memory")
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="where the table goes (default: reports)")
    return parser


def _refuse(args: argparse.Namespace) -> None:
    """Raise Refused for what cannot be compared, before anything is drawn."""
    resolve_device(args.device)
    named = {kind: getattr(args, f"{kind}_encoder") for kind in ENCODERS}
    if args.random_weights:
        if any(named.values()):
            raise errors.Refused("--random-weights brings encoders of its own: name none beside it")
        return
    for kind, name in named.items():
        located = catalogue.locate(kind, name or ENCODERS[kind])
        if located.pooling != (first := catalogue.default_pooling(kind, located.family)):
            raise errors.Refused(
                f"{name}: the notebook's way, to compare with, has {kind} vectors by {first}; take {located.name}"
            )


def _encoders(args: argparse.Namespace, memes: list[dataset.Meme], scratch: Path) -> dict[str, str]:
    """Name or folder of each kind's encoder."""
    if not args.random_weights:
        return {kind: getattr(args, f"{kind}_encoder") or name for kind, name in ENCODERS.items()}
    from experiments.bench import random_encoders

    text = random_encoders.write_text(scratch / "BERT-base", [meme.text for meme in memes])
    image = random_encoders.write_image(scratch / "ResNet-50")
    return {"text": str(text), "image": str(image)}


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
    from experiments.bench.limits import decode_seconds
    from experiments.bench.notebook import Notebook
    from experiments.bench.pipeline import Pipeline

    ours = Pipeline(kind, name, folder, args.device)
    times = Timed([], [], [], [], len(memes), 1.0)
    with Notebook(kind, ours.located, ours.device) as notebook:
        for repeat in range(args.repeats + 1):
            features, baseline = scratch / f"{kind}-{repeat}", scratch / f"{kind}-{repeat}.h5"
            our_seconds, their_seconds = _seconds(ours, features), notebook.seconds(memes, baseline)
            if repeat:  # the first round warms up
                times.ours.append(our_seconds)
                times.notebook.append(their_seconds)
                times.encode.append(ours.roof_seconds(ROOF_BATCHES) * len(memes))
                if kind == "image":
                    times.decode.append(decode_seconds(memes))
    with h5py.File(baseline) as file:
        vector = np.asarray(store.read(ours.published(features)).vector)
        return replace(times, cosine=_lowest_cosine(vector, file["vector"][:]))


def _seconds(ours: "Pipeline", features: Path) -> float:
    start = time.perf_counter()
    ours.run(features)
    return time.perf_counter() - start


def _lowest_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


def _memory(names: dict[str, str], scratch: Path, args: argparse.Namespace) -> dict[int, float]:
    """Peak resident memory, in MB, of `python -m extract` on as many and on ten times as many memes."""
    peaks = {}
    for rows in (args.rows // 4, args.rows // 4 * 10):
        data = draw(scratch / f"memory-{rows}", rows)
        command = [sys.executable, "-m", "extract", "--data", str(data), "--features", str(scratch / f"peak-{rows}")]
        command += ["--split", "train", "--text-encoder", names["text"], "--image-encoder", names["image"]]
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


def _write(
    args: argparse.Namespace, names: dict[str, str], results: dict[str, Timed], memory: dict[int, float]
) -> None:
    source = args.data.name if args.data else "drawn"
    machine = _machine(args.device)
    rows = results["text"].rows
    title = f"Stage 1: {rows:,} {source} memes, medians of {args.repeats} interleaved runs, {machine}"
    named = {
        kind: (f"{Path(names[kind]).name}, random weights" if args.random_weights else names[kind], timed)
        for kind, timed in results.items()
    }
    page = table(title, named, args.random_weights, memory)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench_extract.md").write_text(page)
    print(page)


def _machine(device: str) -> str:
    """What the figures were measured on."""
    machine = f"{cores()} cores"
    if resolve_device(device) == "cpu":
        return machine
    import torch

    return f"{torch.cuda.get_device_name()} and {machine}"
