"""A head's ROC, precision-recall and calibration curves, each the mean over its runs, and its confusion counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import precision_recall_curve, roc_curve

from experiments.evaluate.intervals import wilson
from experiments.results.records import Record
from heads.metrics import Counts

STEPS = 200  # points of a curve at most
BINS = 10  # of a calibration curve, of equal width


def grid(count: int) -> Float[np.ndarray, " point"]:
    """Return shares of `count` memes, 1/count to 1; no more than STEPS of them."""
    points = min(count, STEPS)
    return np.arange(1, points + 1) / points


def roc(
    by_run: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return false positive rates, and the runs' mean true positive rate at each (vertical averaging, Fawcett 2006).

    Both classes must be present. Ties are straight lines; the area under the mean is the mean of the areas.
    """
    false_positive_rate = np.r_[0.0, grid(int((~positive).sum()))]
    curves = [roc_curve(positive, run, drop_intermediate=False)[:2] for run in by_run]
    true_positive_rate = np.mean([np.interp(false_positive_rate, false, true) for false, true in curves], axis=0)
    return np.r_[0.0, false_positive_rate], np.r_[0.0, true_positive_rate]


def precision_recall(
    by_run: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return recalls, and the runs' mean precision at the highest threshold that reaches each.

    The mean height of these steps is the average precision. Label 1 must be present.
    """
    recall = grid(int(positive.sum()))
    precisions = []
    for run in by_run:
        precision, reached, _ = precision_recall_curve(positive, run)  # from the lowest threshold up
        # a hair below: recall 3/7 must find 3 hits whatever the rounding
        precisions.append(precision[::-1][np.searchsorted(reached[::-1], recall - 1e-9)])
    return recall, np.mean(precisions, axis=0)


@dataclass(frozen=True)
class Calibration:
    """Bins of predicted probability that hold memes; all runs' predictions pooled."""

    predicted: Float[np.ndarray, " bin"]  # mean probability
    observed: Float[np.ndarray, " bin"]  # share of label 1
    low: Float[np.ndarray, " bin"]  # of `observed`: Wilson's 95% interval
    high: Float[np.ndarray, " bin"]
    memes: Float[np.ndarray, " bin"]  # mean over runs


def calibration(by_run: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]) -> Calibration:
    """Return how often label 1 occurs among memes that were given about the same probability.

    scikit-learn's calibration_curve gives the same means, but no counts, without which there is no interval. Runs
    predict much the same of the same memes: intervals count memes, not predictions.
    """
    pooled = by_run.reshape(-1)
    bins = np.minimum((pooled * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, weights, BINS) for weights in (pooled, np.tile(positive, len(by_run)))]
    filled = np.flatnonzero(count)
    predicted, observed = (total[filled] / count[filled] for total in sums)
    memes = count[filled] / len(by_run)
    return Calibration(predicted, observed, *wilson(observed, memes), memes)


def mean_counts(records: Sequence[Record], head: str, split: str, tuned: bool) -> Counts:
    """Return how many memes of each label a head called 1 or 0 on a split that has labels, mean over runs.

    tuned: at the thresholds that dev chose, else at 0.5.
    """
    counts = [
        each.tuned_counts if tuned else each.counts for each in records if (each.head, each.split) == (head, split)
    ]
    return Counts(*(float(np.mean([each[name] for each in counts])) for name in Counts._fields))


def recall(counts: Counts) -> float:
    """Return the share of label 1 that was called 1; NaN where there is none. It is the true positive rate."""
    return ratio(counts.hits, counts.hits + counts.misses)


def false_positive_rate(counts: Counts) -> float:
    return ratio(counts.false_alarms, counts.false_alarms + counts.rest)


def precision(counts: Counts) -> float:
    return ratio(counts.hits, counts.hits + counts.false_alarms)


def ratio(part: float, whole: float) -> float:
    """Return part / whole; NaN where there is nothing."""
    return part / whole if whole else float("nan")
