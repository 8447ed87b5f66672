"""Stage 2 against plain PyTorch, scikit-learn and itself run by run, on random vectors with a planted signal."""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from experiments import data as loading
from experiments import tables, training
from experiments.bench import alternatives, random_inputs, scaling, timing
from experiments.bench.timing import middle, ratios
from experiments.data import Data
from experiments.evaluate.scores import figure
from experiments.options import DEFAULT_HEADS, head_names
from experiments.results import records
from experiments.tables import Table
from experiments.words import with_spread
from extract.files import write_text
from extract.machine import resolve_device
from heads.fitted import blank
from heads.metrics import auc_roc
from heads.mlp import StackedMLP
from heads.settings import HeadSettings
from heads.train import Fitted, fit

Runs = Mapping[str, list[HeadSettings]]  # by head
PRODUCT_SECONDS = 0.5  # of bare products, per figure
NOTES = """\
compare: `python -m experiments.compare` in a process of its own, from cold start to written files; its references are
the majority class, four logistic regressions with tuned C, and nearest neighbours. Plain PyTorch: also a process of
its own, one run after the other, DataLoader, float32, AdamW, dev AUC-ROC by scikit-learn each epoch; architecture,
settings, seeds and the number of epochs of each run are those of our heads; no references, tables or intervals. Its
time for fewer seeds is scaled linearly, start and reading apart. scikit-learn: MLPClassifier on both vectors, one
seed, same hidden units, learning rate, batch and epochs, but it has no dropout, no decoupled decay and keeps its last
epoch. Side by side (as compare trains), stacked and one by one: our own code in one warm process. TFLOP/s counts the
matrix products of training alone, forward and backward, over the whole time of training; the limit is bare products and
their weights' gradient in the shapes of the stack, measured in the same run. Waiting threads spin briefly in all ways
alike (GOMP_SPINCOUNT=10000): long spins slow the plain way where cores are shared."""


@dataclass(frozen=True)
class Measured:
    """One measurement of one way of training."""

    wall: float  # seconds, from start to end
    heads: dict[str, float]  # seconds of training, by head; they may overlap
    auc: dict[str, list[float]]  # on test, by head, one per run


@dataclass(frozen=True)
class Measurements:
    """Everything measured, repeat by repeat."""

    runs: Runs
    epochs: dict[str, list[int]]  # by head, one per run
    ways: dict[str, list[Measured]]
    limits: list[dict[str, dict[str, float]]]  # TFLOP/s of bare products, by head and precision


def run(args: argparse.Namespace) -> int:
    """args: as `options.heads` reads them."""
    device = resolve_device(args.device)
    if args.scaling:
        return scaling.measure_all(args.out, args.rows, device)
    with tempfile.TemporaryDirectory() as scratch:
        measured = measure(args, device, Path(scratch))
    write(args, device, measured)
    return 0


def measure(args: argparse.Namespace, device: str, scratch: Path) -> Measurements:
    sizes = {"train": args.train, "dev": args.dev, "test": args.test}
    features = random_inputs.publish_vectors(scratch / "features", sizes, tuple(args.dims))
    folders = [str(features / name) for name in random_inputs.NAMES.values()]
    data = loading.load(features)
    runs = training.runs(head_names(DEFAULT_HEADS), args.seeds, {})
    few = {head: asked[: args.baseline_seeds] for head, asked in runs.items()}
    _, fitted = stacked(data, runs, device)  # warms up, and tells how many epochs each run takes
    epochs = {head: each.history.dev_auc.isfinite().sum(dim=0).tolist() for head, each in fitted.items()}

    def scikit_learn() -> Measured:
        seconds, auc = alternatives.mlp_classifier(folders, asdict(runs["early"][0]), epochs["early"][0])
        return Measured(seconds, {"early": seconds}, {"early": [auc]})

    each_way = {
        "compare": lambda: compare(features, scratch / "reports", args.seeds, device, "all"),
        "heads only": lambda: compare(features, scratch / "reports", args.seeds, device, "none"),
        "plain": lambda: plain_torch(folders, scratch / "job.json", few, epochs, device),
        "scikit-learn": scikit_learn,
        "one by one": lambda: one_by_one(data, runs, device),
        "side by side": lambda: side_by_side(data, runs, device),
        "stacked": lambda: stacked(data, runs, device)[0],
        "limits": lambda: {head: product_rates(head, asked, args.dims, device) for head, asked in runs.items()},
    }
    ways = timing.by_turns(each_way, args.repeats)
    limits = ways.pop("limits")
    return Measurements(runs, epochs, ways, limits)


def compare(features: Path, out: Path, seeds: int, device: str, references: str) -> Measured:
    """`python -m experiments.compare` in a process of its own, cold start to written files."""
    command = [sys.executable, "-m", "experiments.compare", "--features", str(features), "--out", str(out)]
    wall, _ = timing.process([*command, "--seeds", str(seeds), "--device", device, "--references", references])
    runs = records.from_lines((out / "runs.jsonl").read_text(encoding="utf-8"))
    scored = [run for run in runs if run.split == "test" and run.kind == "head"]
    auc: dict[str, list[float]] = {}
    for run in scored:
        auc.setdefault(run.head, []).append(run.metrics["auc_roc"])
    return Measured(wall, {run.head: run.seconds for run in scored}, auc)


def plain_torch(
    features: Sequence[str], job: Path, runs: Runs, epochs: Mapping[str, Sequence[int]], device: str
) -> Measured:
    """The plain PyTorch way, also in a process of its own; each run trains as many epochs as ours did."""
    asked = {
        head: [{"settings": asdict(run), "epochs": count} for run, count in zip(each, epochs[head], strict=False)]
        for head, each in runs.items()
    }
    about = {"features": features, "runs": asked, "device": device}
    wall, told = timing.in_a_process("experiments.bench.alternatives", about, job)
    return Measured(wall, told["seconds"], told["auc"])


def side_by_side(data: Data, runs: Runs, device: str) -> Measured:
    """compare's training, in this process: a head's runs at once, and heads side by side."""
    start = time.perf_counter()
    trained = training.heads(data, dict(runs), device, "none", quiet=True)
    wall = time.perf_counter() - start
    test = data.tests[0]
    label = training.rows(test).labels()
    auc = {each.name: auc_roc(each.logit[test.name], label).tolist() for each in trained}
    return Measured(wall, {each.name: each.seconds for each in trained}, auc)


def stacked(data: Data, runs: Runs, device: str) -> tuple[Measured, dict[str, Fitted]]:
    """Our own code in this process, a head's runs at once, one head after the other."""
    train, dev, test = (training.rows(split) for split in (data.train, data.dev, data.tests[0]))
    fitted = {head: fit(head, train, dev, asked, device=device) for head, asked in runs.items()}
    auc = {head: auc_roc(each.logits(test), test.labels()).tolist() for head, each in fitted.items()}
    seconds = {head: each.seconds for head, each in fitted.items()}
    return Measured(sum(seconds.values()), seconds, auc), fitted


def one_by_one(data: Data, runs: Runs, device: str) -> Measured:
    """Our own code in this process, a run at a time."""
    single = {head: [stacked(data, {head: [run]}, device)[0] for run in asked] for head, asked in runs.items()}
    seconds = {head: sum(each.wall for each in measured) for head, measured in single.items()}
    auc = {head: [each.auc[head][0] for each in measured] for head, measured in single.items()}
    return Measured(sum(seconds.values()), seconds, auc)


def widths(head: str, dims: Sequence[int]) -> list[int]:
    """Return the inputs of each MLP of a head."""
    small = blank(head, dims[0], dims[1], [HeadSettings(hidden=1, depth=1)])
    return [mlp.weights[0].shape[1] for mlp in small.children() if isinstance(mlp, StackedMLP)]


def training_flops(
    head: str, dims: Sequence[int], runs: Sequence[HeadSettings], epochs: Sequence[int], rows: int
) -> float:
    """Return operations (a multiplication or an addition each) in training's matrix products, forward and backward.

    A layer costs 2 * rows * in * out forward, as much for its weights' gradient, and as much again for its inputs'
    gradient, which the first layer does not need. Scoring dev, dropout and AdamW are not counted.
    """
    total = 0.0
    for run, trained in zip(runs, epochs, strict=True):
        passes = -(-run.min_steps // -(-rows // run.batch_size))
        hidden = (run.depth - 1) * run.hidden**2 + run.hidden
        for width in widths(head, dims):
            total += trained * passes * rows * (4 * width * run.hidden + 6 * hidden)
    return total


def product_rates(head: str, runs: Sequence[HeadSettings], dims: Sequence[int], device: str) -> dict[str, float]:
    """TFLOP/s of products as wide as this head's stack, by precision."""
    shape = len(runs), runs[0].batch_size, max(widths(head, dims)), runs[0].hidden
    return {name: product_rate(*shape, getattr(torch, name), device) for name in ("bfloat16", "float32")}


def product_rate(runs: int, batch: int, inputs: int, out: int, dtype: torch.dtype, device: str) -> float:
    """TFLOP/s of a stack's linear layer, its forward product and its weights' gradient, a batch of memes per run."""
    shapes = (runs, batch, inputs), (runs, inputs, out), (runs, batch, out)
    vec, weight, grad = (torch.randn(shape, device=device).to(dtype) for shape in shapes)

    def products() -> None:
        torch.bmm(vec, weight)
        torch.bmm(vec.transpose(1, 2), grad)
        if device == "cuda":
            torch.cuda.synchronize()

    products()  # the first prepares
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < PRODUCT_SECONDS:
        products()
        count += 1
    return count * 4 * runs * batch * inputs * out / seconds / 1e12


def seconds_table(args: argparse.Namespace, measured: Measurements) -> Table:
    """Wall time of the whole job by way, and how many times ours that is."""
    ways, seeds, few = measured.ways, args.seeds, min(args.baseline_seeds, args.seeds)
    wall = {name: [each.wall for each in repeats] for name, repeats in ways.items()}
    plain = [scaled(each, few, seeds) for each in ways["plain"]]
    plain_heads = [sum(each.heads.values()) * seeds / few for each in ways["plain"]]
    early = [each.heads["early"] for each in ways["stacked"]]
    sklearn = [each * seeds for each in wall["scikit-learn"]]
    alone, beside = wall["heads only"], wall["side by side"]
    job, one_job = f"{len(measured.runs)} heads x {seeds}", f"1 head x {seeds}"

    def against(theirs: list[float], ours: list[float]) -> tuple[str, str]:
        return middle(theirs), middle(ratios(theirs, ours))

    start = f"plain PyTorch, cold start to figures (measured: {few} seed{'s' * (few > 1)})"
    of_compare = f"{timing.share(beside, wall['compare'])} of compare"
    rows = [
        ["compare, cold start to table", f"{job}, 6 references", middle(wall["compare"]), ""],
        ["compare --references none, cold start to table", job, middle(alone), ""],
        [start, job, *against(plain, alone)],
        ["training alone: stacked, heads side by side", job, middle(beside), of_compare],
        ["training alone: plain PyTorch", job, *against(plain_heads, beside)],
        ["stacked, one head after the other", job, middle(wall["stacked"]), ""],
        ["one by one: our own code, a run at a time", job, *against(wall["one by one"], wall["stacked"])],
        ["stacked: early fusion alone", one_job, middle(early), ""],
        ["scikit-learn MLPClassifier (measured: 1 seed)", one_job, *against(sklearn, early)],
    ]
    return Table("Seconds", ["way", "job", "seconds", "times ours above"], rows, words=(0, 1))


def scaled(measured: Measured, runs: int, of: int) -> float:
    """Return seconds if `of` runs of each head were trained where `runs` were; the rest takes as long as it did."""
    trained = sum(measured.heads.values())
    return measured.wall - trained + trained * of / runs


def quality_table(measured: Measurements) -> Table:
    """Test AUC-ROC of each head by each way: mean and standard deviation over its seeds."""
    rows = []
    for way, repeats in measured.ways.items():
        auc = repeats[0].auc  # a repeat trains the same runs again
        cells = [with_spread(figure(np.array(auc[head]), None, 0)) if head in auc else "" for head in measured.runs]
        rows.append([way, str(max(len(each) for each in auc.values())), *cells])
    return Table("Test AUC-ROC", ["way", "seeds", *measured.runs], rows)


def rates_table(args: argparse.Namespace, measured: Measurements) -> Table:
    """TFLOP/s of training against the limit: bare products in the stack's shapes."""
    rows = []
    for head, runs in measured.runs.items():
        epochs = measured.epochs[head]
        flops = training_flops(head, args.dims, runs, epochs, args.train) / 1e12
        reached = [flops / each.heads[head] for each in measured.ways["stacked"]]
        limits = [middle([each[head][name] for each in measured.limits], 3) for name in ("bfloat16", "float32")]
        higher = timing.share(reached, [max(each[head].values()) for each in measured.limits])
        rows.append([head, f"{min(epochs)}-{max(epochs)}", f"{flops:.2f}", middle(reached, 3), *limits, higher])
    header = ["head", "epochs", "TFLOP", "TFLOP/s", "bfloat16 limit", "float32 limit", "of the higher limit"]
    return Table("Training against the limit", header, rows)


def write(args: argparse.Namespace, device: str, measured: Measurements) -> None:
    """bench_heads.md and .json."""
    shown = [seconds_table(args, measured), quality_table(measured), rates_table(args, measured)]
    about = (
        f"{args.train:,}/{args.dev:,}/{args.test:,} rows of {args.dims[0]:,} + {args.dims[1]:,} dims, "
        f"{len(measured.runs)} heads x {args.seeds} seeds; median (min, max) of {args.repeats} interleaved repeats on "
        f"{device}, torch {torch.__version__}, {timing.load()}."
    )
    write_text(args.out / "bench_heads.md", tables.page("# Stage 2's speed", about, *shown, NOTES))
    raw = {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "load": os.getloadavg()},
        "settings": {head: asdict(asked[0]) for head, asked in measured.runs.items()},
        "epochs": measured.epochs,
        "limits": measured.limits,
        "outcomes": {way: [asdict(each) for each in repeats] for way, repeats in measured.ways.items()},
        "medians": {way: statistics.median(each.wall for each in repeats) for way, repeats in measured.ways.items()},
    }
    write_text(args.out / "bench_heads.json", json.dumps(raw, indent=1) + "\n")
    print(about, *(tables.plain(table) for table in shown), sep="\n\n")
    print(f"Written to {args.out}: bench_heads.md, bench_heads.json.", file=sys.stderr)
