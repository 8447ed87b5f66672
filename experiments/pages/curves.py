"""What is drawn as curves: ROC, precision-recall and calibration, each as the mean over a head's runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from experiments.results.records import Record, SplitSize

STEPS = 200  # points of a curve at most
BINS = 10  # of a calibration curve, of equal width
Z = 1.959964  # of a 95% interval


def grid(count: int) -> Float[np.ndarray, " point"]:
    """Shares of `count` memes, 1/count to 1; no more than STEPS of them."""
    return np.arange(1, count + 1) / count if count <= STEPS else np.arange(1, STEPS + 1) / STEPS


def roc(
    by_run: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """False positive rate, and the runs' mean true positive rate there (vertical averaging, Fawcett 2006).

    Both classes must be present. Ties are straight lines; the area under the mean is the mean of the areas.
    """
    across = np.r_[0.0, grid(int((~positive).sum()))]
    up = []
    for run in by_run:
        hits, called = cumulated(run, positive)
        false = np.r_[0, called - hits] / (~positive).sum()
        up.append(np.interp(across, false, np.r_[0, hits] / positive.sum()))
    return np.r_[0.0, across], np.r_[0.0, np.mean(up, axis=0)]


def precision_recall(
    by_run: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Recall, and the runs' mean precision where it is reached: the steps whose mean height is the average precision.

    Label 1 must be present.
    """
    recall = grid(int(positive.sum()))
    found = []
    for run in by_run:
        hits, called = cumulated(run, positive)
        # a hair below: recall 3/7 must find 3 hits whatever the rounding
        reached = np.searchsorted(hits / positive.sum(), recall - 1e-9)
        found.append((hits / called)[reached])
    return recall, np.mean(found, axis=0)


def cumulated(
    score: Float[np.ndarray, " meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, " step"]]:
    """Memes of label 1, and memes, at or above each distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    return np.cumsum(positive[order])[last].astype(float), last + 1.0


@dataclass(frozen=True)
class Calibration:
    """Bins of predicted probability that hold memes; all runs' predictions pooled."""

    said: Float[np.ndarray, " bin"]  # mean predicted probability
    came: Float[np.ndarray, " bin"]  # share of label 1
    low: Float[np.ndarray, " bin"]  # of `came`: Wilson's 95% interval
    high: Float[np.ndarray, " bin"]
    memes: Float[np.ndarray, " bin"]  # mean over runs


def calibration(by_run: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]) -> Calibration:
    """How often label 1 occurs among memes that were given about the same probability.

    Runs say much the same of the same memes: intervals count memes, not predictions.
    """
    pooled, came = by_run.reshape(-1), np.tile(positive, len(by_run))
    which = np.minimum((pooled * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    there = np.flatnonzero(count)
    count = count[there]
    said = np.bincount(which, pooled, BINS)[there] / count
    share = np.bincount(which, came, BINS)[there] / count
    low, high = wilson(share, count / len(by_run))
    return Calibration(said, share, low, high, count / len(by_run))


def wilson(
    share: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Wilson's 1927 interval of a share seen in `count` trials."""
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


@dataclass(frozen=True)
class Confusion:
    """How many memes of each label a head called 1 or 0, mean over runs."""

    hits: float
    misses: float
    false_alarms: float
    rest: float  # label 0, and called so

    @property
    def true_positive_rate(self) -> float:
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else float("nan")

    @property
    def false_positive_rate(self) -> float:
        return self.false_alarms / (self.false_alarms + self.rest) if self.false_alarms + self.rest else float("nan")

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.false_alarms) if self.hits + self.false_alarms else float("nan")


def confusion(runs: Sequence[Record], head: str, size: SplitSize, tuned: bool) -> Confusion:
    """A head's counts on a split that has labels, from what its records say.

    tuned: at the thresholds that dev chose, else at 0.5.
    """
    scored = [run.tuned if tuned else run.metrics for run in runs if (run.head, run.split) == (head, size.name)]
    accuracy = float(np.mean([metrics["accuracy"] for metrics in scored]))
    # without a meme of label 1 recall is undefined, and there is nothing to hit
    recall = float(np.mean([metrics["recall"] for metrics in scored])) if size.positive else 0.0
    hits = recall * size.positive
    rest = accuracy * size.labelled - hits
    return Confusion(hits, size.positive - hits, size.labelled - size.positive - rest, rest)
