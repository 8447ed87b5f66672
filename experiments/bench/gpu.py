"""All that only a GPU can show, in one table and under nine minutes: the `gpu` tests, stage 1 and stage 2."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments import tables
from experiments.bench import extract as stage_one
from experiments.bench import heads as stage_two
from experiments.bench import random_inputs, timing
from experiments.options import DEFAULT_HEADS, head_names
from extract import errors
from extract.files import write_text
from extract.machine import resolve_device

SECONDS = 450.0  # what is not begun by then is left out; on paper nothing takes more than 75 (docs/gpu.md)
TESTS_SECONDS = 150.0  # after which the tests are stopped
# encoder, what goes through it, and how many times fewer memes it gets: a ViT-L takes fifty times as long as ResNet-50
STAGE_ONE = [
    ("BERT-base", "texts", 1), ("ResNet-50", "PNG", 1), ("ResNet-50", "JPEG", 1),
    ("CLIP-ViT-L-14-336", "PNG", 4), ("CLIP-ViT-L-14-336", "JPEG", 4),
]  # fmt: skip
SEEDS = (5, 100)
SIZES = {"train": 8500, "dev": 500, "test": 1000}  # as in Hateful Memes
DIMS = (768, 2048)  # BERT-base and ResNet-50
HEADER = ["what", "how much", "seconds", "a second", "times the notebook's", "of the decode limit"]
NOTES = """\
Stage 1: from files to a published HDF5, encoder loaded, its weights random; medians. The notebook's way and the
decode limit are those of `bench extract`, on the same GPU. Stage 2: the heads of compare, vectors random with a planted
signal, rows and widths as Hateful Memes has them with BERT-base and ResNet-50; cold to table is a process of its own,
references included."""
Row = list[str]
Part = Callable[[], Iterator[Row]]


def run(args: argparse.Namespace) -> int:
    """args: as `options.gpu` reads them."""
    try:
        device = resolve_device("cuda")
    except errors.Refused as refusal:
        raise errors.Refused(f"bench gpu measures a GPU, and there is none to measure.\n{refusal}") from None
    with tempfile.TemporaryDirectory() as scratch:
        parts = {} if args.no_tests else {"gpu tests": gpu_tests}
        rows = measure(parts | all_parts(device, args.rows, args.repeats, Path(scratch)))
    text = page(stage_one.machine(device), rows)
    write_text(args.out / "bench_gpu.md", text)
    print(text)
    return 0


def all_parts(device: str, rows: int, repeats: int, scratch: Path) -> dict[str, Part]:
    """Return what is measured besides the tests, each to be called in its turn."""
    one: list[tuple[str, Part]] = []
    for name, what, fewer in STAGE_ONE:
        part = partial(extraction, name, what, max(1, rows // fewer), device, repeats, scratch)
        one.append((f"stage 1, {what} through {name}", part))
    # before the part that takes longest, and that least is lost with
    return dict([*one[:3], ("stage 2", partial(training, device, SEEDS, scratch)), *one[3:]])


def measure(parts: dict[str, Part], seconds: float = SECONDS) -> list[Row]:
    """Run the parts in turn. One that fails costs its own rows, not those of the others."""
    start, rows = time.perf_counter(), []
    for name, part in parts.items():
        if time.perf_counter() - start > seconds:
            rows.append([name, f"left out: begun no more after {seconds:.0f} seconds"])
            continue
        print(f"{name} ...", file=sys.stderr)
        try:
            for row in part():
                rows.append(row)
                print("  " + "  ".join(filter(None, row)), file=sys.stderr)
        except Exception as error:  # a GPU's first run: the table must be had whatever breaks
            rows.append([name, f"failed: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"])
    return [row + [""] * (len(HEADER) - len(row)) for row in rows]


def gpu_tests() -> Iterator[Row]:
    """Yield how many of the tests that need a GPU have passed; those that have not, by name."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "tests"]
    start = time.perf_counter()
    said: dict[str, Any] = {"cwd": timing.HOME, "env": timing.environment(), "capture_output": True, "text": True}
    try:
        done = subprocess.run(command, timeout=TESTS_SECONDS, **said)
        lines = (done.stdout + done.stderr).strip().splitlines()
    except subprocess.TimeoutExpired as late:
        lines = [*bytes(late.stdout or b"").decode().splitlines(), f"stopped after {TESTS_SECONDS:.0f} seconds"]
    yield ["gpu tests", lines[-1].strip("= ") if lines else "no output", f"{time.perf_counter() - start:.0f}"]
    yield from (["", line] for line in lines if line.startswith(("FAILED", "ERROR")))


def extraction(encoder: str, what: str, rows: int, device: str, repeats: int, scratch: Path) -> Iterator[Row]:
    """Yield the speed of an encoder's stage 1 against the notebook's way, on texts or on images of one form of file."""
    data, folder = scratch / what, scratch / f"{encoder} {what}"
    folder.mkdir()
    if fresh := not data.exists():
        random_inputs.draw_memes(data, 2 * rows)
    memes = stage_one.distinct(data, rows)
    if fresh and what != "texts":
        random_inputs.write_as(what, [Path(str(meme.image)) for meme in memes])
    weights = scratch / encoder
    if what == "texts":
        random_inputs.write_text_encoder(weights, [meme.text for meme in memes])
    elif not weights.exists():
        random_inputs.write_image_encoder(weights)
    kind = "text" if what == "texts" else "image"
    subset = stage_one.subset(folder / "subset", data, memes)
    timed = stage_one.compare(kind, str(weights), memes, subset, folder, device, repeats)
    seconds = statistics.median(timed.ours)
    yield [
        f"stage 1, {what}", f"{len(memes):,} through {encoder}, cosine {timed.cosine:.4f}", f"{seconds:.2f}",
        f"{len(memes) / seconds:,.0f}", timing.middle(timing.ratios(timed.notebook, timed.ours)),
        timing.share(timed.decode, timed.ours) if timed.decode else "",
    ]  # fmt: skip


def training(device: str, seeds: Sequence[int], scratch: Path) -> Iterator[Row]:
    """Yield stage 2's seconds at so many seeds: the training alone, and from a cold start to the table."""
    from experiments import data as loading
    from experiments.training import runs

    features = random_inputs.publish_vectors(scratch / "features", SIZES, DIMS)
    loaded, heads = loading.load(features), head_names(DEFAULT_HEADS)
    stage_two.side_by_side(loaded, runs(heads, 1, {}), device)  # warms up
    for count in seeds:
        asked = runs(heads, count, {})
        job, trainings = f"{len(heads)} heads x {count} seeds", len(heads) * count
        alone = stage_two.side_by_side(loaded, asked, device)
        auc = statistics.fmean(alone.auc["early"])
        yield [f"stage 2, training, test AUC-ROC {auc:.3f}", job, f"{alone.wall:.2f}", f"{trainings / alone.wall:,.0f}"]
        cold = stage_two.compare(features, scratch / f"reports-{count}", count, device, "all")
        yield ["stage 2, cold to table", job, f"{cold.wall:.2f}", f"{trainings / cold.wall:,.0f}"]


def page(machine: str, rows: Sequence[Row]) -> str:
    """Return the report."""
    import torch

    return tables.page(f"# On a GPU: {machine}, torch {torch.__version__}", tables.Table("", HEADER, rows), NOTES)
