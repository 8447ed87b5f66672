"""`bench heads` as tables."""

import argparse
import statistics
from typing import Any

from experiments.bench.roof import training_flops
from experiments.bench.ways import Outcome, middle
from experiments.compare import HEADS
from experiments.tables import Table, bare

NOTES = """\
compare: `python -m experiments.compare` in a process of its own, from cold start to written files; its references are
the majority class, four logistic regressions with tuned C, and nearest neighbours. Plain PyTorch: also a process of
its own, one run after the other, DataLoader, float32, AdamW, dev AUC-ROC by scikit-learn each epoch; architecture,
settings, seeds and the number of epochs of each run are those of our heads; no references, tables or intervals. Its
time for fewer seeds is scaled linearly, start and reading apart. scikit-learn: MLPClassifier on both vectors, one
seed, same hidden units, learning rate, batch and epochs, but it has no dropout, no decoupled decay and keeps its last
epoch. Side by side (as compare trains), stacked and one by one: our own code in one warm process. TFLOP/s counts the
matrix products of training alone, forward and backward, over the whole time of training; the roof is bare products and
their weights' gradient in the shapes of the stack, measured in the same run. Waiting threads spin briefly in all ways
alike (GOMP_SPINCOUNT=10000): long spins slow the plain way where cores are shared.
"""


def torch_version() -> str:
    import torch

    return torch.__version__


def seconds(args: argparse.Namespace, found: dict[str, Any]) -> Table:
    """Wall time of the whole job by way, and how many times ours that is."""
    ways: dict[str, list[Outcome]] = found["outcomes"]
    seeds, few = args.seeds, min(args.baseline_seeds, args.seeds)
    ours, alone = ([each.wall for each in ways[name]] for name in ("compare", "heads only"))
    plain = [scaled(each, few, seeds) for each in ways["plain"]]
    plain_heads = [sum(each.heads.values()) * seeds / few for each in ways["plain"]]
    single, stacked, beside = ([each.wall for each in ways[name]] for name in ("one by one", "stacked", "side by side"))
    early = [each.heads["early"] for each in ways["stacked"]]
    sklearn = [each.wall * seeds for each in ways["scikit-learn"]]
    job = f"{len(HEADS)} heads x {seeds}"
    rows = [
        ["compare, cold start to table", f"{job}, 6 references", middle(ours), ""],
        ["compare --references none, cold start to table", job, middle(alone), ""],
        [f"plain PyTorch, cold start to figures (measured: {few} seed{'s' * (few > 1)})", job, *_against(plain, alone)],
        ["training alone: stacked, heads side by side", job, middle(beside), f"{_share(beside, ours)} of compare"],
        ["training alone: plain PyTorch", job, *_against(plain_heads, beside)],
        ["stacked, one head after the other", job, middle(stacked), ""],
        ["one by one: our own code, a run at a time", job, *_against(single, stacked)],
        ["stacked: early fusion alone", f"1 head x {seeds}", middle(early), ""],
        ["scikit-learn MLPClassifier (measured: 1 seed)", f"1 head x {seeds}", *_against(sklearn, early)],
    ]
    return Table("Seconds", ["way", "job", "seconds", "times ours above"], rows)


def scaled(outcome: Outcome, runs: int, of: int) -> float:
    """Seconds if `of` runs of each head were trained where `runs` were; the rest takes as long as it did."""
    trained = sum(outcome.heads.values())
    return outcome.wall - trained + trained * of / runs


def _against(theirs: list[float], ours: list[float]) -> tuple[str, str]:
    """Their seconds, and the ratio to ours of the same repeat."""
    return middle(theirs), middle([slow / fast for slow, fast in zip(theirs, ours, strict=True)])


def _share(part: list[float], whole: list[float]) -> str:
    return f"{statistics.median(few / all_of_it for few, all_of_it in zip(part, whole, strict=True)):.0%}"


def quality(found: dict[str, Any]) -> Table:
    """Test AUC-ROC of each head by each way: mean and standard deviation over its seeds."""
    rows = []
    for way, outcomes in found["outcomes"].items():
        auc = outcomes[0].auc  # a repeat trains the same runs again
        cells = [_spread(auc[head]) if head in auc else "" for head in HEADS]
        rows.append([way, str(max(len(each) for each in auc.values())), *cells])
    return Table("Test AUC-ROC", ["way", "seeds", *HEADS], rows)


def _spread(values: list[float]) -> str:
    return bare(statistics.fmean(values)) + (f"±{bare(statistics.stdev(values))}" if len(values) > 1 else "")


def rates(args: argparse.Namespace, found: dict[str, Any]) -> Table:
    """TFLOP/s of training against the roof of products in the stack's shapes."""
    rows = []
    for head in HEADS:
        epochs, runs = found["epochs"][head], found["runs"][head]
        flops = training_flops(head, tuple(args.dims), runs, epochs, args.train) / 1e12
        reached = [flops / each.heads[head] for each in found["outcomes"]["stacked"]]
        roofs = {name: [each[head][name] for each in found["roofs"]] for name in ("bfloat16", "float32")}
        best = [max(each[head].values()) for each in found["roofs"]]
        rows.append(
            [
                head,
                f"{min(epochs)}-{max(epochs)}",
                f"{flops:.2f}",
                middle(reached, 3),
                middle(roofs["bfloat16"], 3),
                middle(roofs["float32"], 3),
                _share(reached, best),
            ]
        )
    header = ["head", "epochs", "TFLOP", "TFLOP/s", "bfloat16 roof", "float32 roof", "of the higher roof"]
    return Table("Training against the roof", header, rows)
