"""From a head's logits to its figures: metrics of every run, their mean, spread and interval over memes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.evaluate import statistics
from experiments.results.records import NAN, Figure, Row
from heads.metrics import METRICS, evaluate, probabilities

DECISIONS = ("accuracy", "precision", "recall", "f1", "macro_f1")  # the metrics that depend on a threshold
TUNED = "tuned_"  # prefix of such a metric's draws at the threshold tuned on dev
MEAN_ACCURACY = "mean_accuracy"  # draws of the accuracy of the runs' mean probability, at 0.5


@dataclass(frozen=True)
class Scores:
    """All runs of one head, or a reference, on one split's labelled memes."""

    name: str
    kind: str  # "head" or "reference"
    split: str
    logit: Float[Tensor, "run meme"]
    label: Int[np.ndarray, " meme"]  # 0 or 1
    threshold: Float[Tensor, " run"]  # probability, tuned on dev
    temperature: Float[Tensor, " run"]  # fitted on dev, or ones

    @property
    def positive(self) -> Bool[np.ndarray, " meme"]:
        return self.label == 1

    @property
    def probability(self) -> Float[np.ndarray, "run meme"]:
        return probabilities(self.logit, self.temperature).numpy()

    @property
    def right(self) -> Bool[np.ndarray, " meme"]:
        """Whether the runs' mean probability falls on the label's side of 0.5."""
        return (self.probability.mean(axis=0) >= 0.5) == self.positive

    def metrics(self, threshold: Float[Tensor, " run"] | float) -> dict[str, Float[np.ndarray, " run"]]:
        """Every metric of every run; NaN where it is undefined."""
        label = torch.from_numpy(self.label.astype(np.int64))
        found = evaluate(self.logit, label, threshold, self.temperature)
        return {name: found[name].numpy() for name in METRICS}


def statistic(scores: Scores) -> statistics.Statistic:
    """What the bootstrap recomputes on each resample: means over runs, all metrics but the calibration error.

    ECE is left out: resampling memes adds noise to every bin, and so would only ever raise it.
    """
    probability, positive = scores.probability, scores.positive
    rankings = [statistics.ranking(score, positive) for score in scores.logit.double().numpy()]
    called = {"": probability >= 0.5, TUNED: probability >= scores.threshold.numpy()[:, None]}
    squared_gap = ((probability - positive) ** 2).mean(axis=0).astype(np.float32)
    right = scores.right.astype(np.float32)

    def recompute(weight: statistics.Weights) -> dict[str, statistics.Draws]:
        areas = np.mean([statistics.weighted_areas(ranked, weight) for ranked in rankings], axis=0)
        memes = weight.sum(axis=0)
        draws = {"auc_roc": areas[0], "average_precision": areas[1]}
        draws |= {"brier": squared_gap @ weight / memes, MEAN_ACCURACY: right @ weight / memes}
        for prefix, predicted in called.items():
            for name, runs in decisions(predicted, positive, weight).items():
                draws[prefix + name] = runs.mean(axis=0)
        return draws

    return recompute


def decisions(
    predicted: Bool[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"], weight: statistics.Weights
) -> dict[str, Float[np.ndarray, "run draw"]]:
    """The metrics of `DECISIONS` with memes counted `weight` times, by the same formulas as heads.metrics."""
    hits = (predicted & positive).astype(np.float32) @ weight
    called = predicted.astype(np.float32) @ weight
    positives, memes = positive.astype(np.float32) @ weight, weight.sum(axis=0)
    wrong = called + positives - 2 * hits
    rest = memes - hits - wrong
    with np.errstate(divide="ignore", invalid="ignore"):
        f1, other_f1 = 2 * hits / (2 * hits + wrong), 2 * rest / (2 * rest + wrong)
        return {
            "accuracy": (hits + rest) / memes,
            "precision": hits / called,
            "recall": hits / positives,
            "f1": f1,
            "macro_f1": (f1 + other_f1) / 2,
        }


def row(scores: Scores, draws: dict[str, statistics.Draws]) -> Row:
    """A head's line in the table."""
    at_half, tuned = scores.metrics(0.5), scores.metrics(scores.threshold)
    return Row(
        scores.name,
        scores.kind,
        scores.split,
        len(scores.logit),
        float(scores.threshold.mean()),
        {name: figure(runs, draws.get(name)) for name, runs in at_half.items()},
        {name: figure(tuned[name], draws.get(TUNED + name)) for name in DECISIONS},
    )


def figure(runs: Float[np.ndarray, " run"], draws: statistics.Draws | None) -> Figure:
    """Mean and spread over runs with the bootstrap's interval. Undefined as a whole where it is for any run."""
    undefined = int(np.isnan(runs).sum())
    if undefined:
        return Figure(NAN, undefined=undefined)
    low, high = (NAN, NAN) if draws is None else statistics.interval(draws)
    # ddof=1: five seeds are a sample of seeds, not all of them
    sd = float(np.std(runs, ddof=1)) if len(runs) > 1 else NAN
    return Figure(float(np.mean(runs)), sd, low, high)


def chance(label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """What a fair coin is expected to score (and, for calibration, always saying one half)."""
    share = float(np.mean(label))
    f1, other_f1 = share / (share + 0.5), (1 - share) / (1.5 - share)
    return {
        "accuracy": 0.5,
        "precision": share,
        "recall": 0.5,
        "f1": f1,
        "macro_f1": (f1 + other_f1) / 2,
        "auc_roc": 0.5,
        "average_precision": share,
        "ece": abs(share - 0.5),
        "brier": 0.25,
    }
