"""AUC-ROCs of few hundred memes, set against each other: DeLong's test for groups of memes, with the luck of seeds.

Runs (seeds) of a head are averaged: the figure that a table shows, its interval and its p-value all speak about the
mean over runs of a metric. Two things are luck, which memes there are and which seeds: memes of one group move
together; seeds are a sample of all seeds. What is undefined is NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata

from experiments.evaluate.intervals import LEVEL, ROUNDING, joined, score_interval
from experiments.evaluate.resampling import CHUNK, FEWEST, RESAMPLES, few


@dataclass(frozen=True)
class Paired:
    """One metric of two heads on the same memes."""

    difference: float
    standard_error: float  # over memes and seeds
    p: float  # two-sided; NaN where it is undefined
    low: float  # of the difference's 95% interval
    high: float
    of_memes: float = float("nan")  # the variance that memes make
    of_seeds: tuple[float, float] = (0.0, 0.0)  # that seeds make of either mean
    freedom: tuple[int, int] = (1, 1)  # degrees of freedom of these two


def constant(scores: Shaped[Any, "run meme"]) -> bool:
    """Whether no run tells one meme from another: the AUC-ROC is 1/2 on any memes."""
    return bool((scores == scores[:, :1]).all())


def seeds_variance(runs: Float[np.ndarray, " run"]) -> float:
    """Return the variance of a mean over runs that seeds alone make; 0 for a single run, which tells nothing of it."""
    return float(np.var(runs, ddof=1) / len(runs)) if len(runs) > 1 else 0.0


def placements(
    score: Float[np.ndarray, " meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " positive"], Float[np.ndarray, " negative"]]:
    """For each positive the share of negatives it beats, for each negative the share of positives that beat it.

    Ties count one half; the mean of either is the AUC-ROC. In O(n log n) by midranks (Sun and Xu 2014).
    """
    rank = rankdata(score)
    up, down = score[positive], score[~positive]
    return (rank[positive] - rankdata(up)) / len(down), 1 - (rank[~positive] - rankdata(down)) / len(up)


def placements_of_runs(
    scores: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, "run positive"], Float[np.ndarray, "run negative"]]:
    up, down = zip(*(placements(score, positive) for score in scores), strict=True)
    return np.stack(up), np.stack(down)


def delong(
    a: Float[np.ndarray, "run_a meme"],
    b: Float[np.ndarray, "run_b meme"],
    positive: Bool[np.ndarray, " meme"],
    group: Int[np.ndarray, " meme"],
) -> Paired:
    """Difference of two heads' AUC-ROC, each the mean over its runs, with a two-sided test against no difference.

    DeLong, DeLong and Clarke-Pearson 1988 for a linear contrast of correlated AUC-ROCs (weights 1/runs and -1/runs),
    with Obuchowski's 1997 variance for clustered data, equal to DeLong's where every meme is a group of its own. To it
    comes the variance over seeds of either mean, and Student's t for as few seeds as there are (Welch 1947,
    Satterthwaite 1946). Where the difference varies in fewer than FEWEST groups (a head that makes hardly a mistake
    against one that no group of both labels favours), a normal interval means nothing: it joins those of the two
    (`joined`), that of a constant being 1/2 alone, and groups of memes change sides at random (`permutation`).
    NaN where fewer than FEWEST groups hold memes of a class.
    """
    nan = float("nan")
    if positive.all() or not positive.any():
        return Paired(nan, nan, nan, nan, nan)
    groups = group[positive], group[~positive]
    ups, downs, of_seeds = [], [], []
    for scores in (a, b):
        up, down = placements_of_runs(scores, positive)
        ups.append(up.mean(axis=0))
        downs.append(down.mean(axis=0))
        of_seeds.append(seeds_alone(up, down, *groups))
    means, freedom = [float(up.mean()) for up in ups], [max(len(scores) - 1, 1) for scores in (a, b)]
    of_memes = clustered_error(ups[0] - ups[1], downs[0] - downs[1], *groups) ** 2
    difference, error = float((ups[0] - ups[1]).mean()), float(np.sqrt(of_memes + sum(of_seeds)))
    difference, error = (0.0 if abs(value) < ROUNDING else value for value in (difference, error))
    if np.isnan(error):
        return Paired(difference, nan, nan, nan, nan)
    plain = Paired(difference, 0.0, 0.0, difference, difference)
    if error:
        plain = by_student(difference, error, of_memes, (of_seeds[0], of_seeds[1]), (freedom[0], freedom[1]))
    up, down = influences(ups[0] - ups[1], downs[0] - downs[1], *groups)
    influence = (up + down)[np.unique(group)]
    if error and (abs(influence - np.median(influence)) > ROUNDING).sum() >= FEWEST:
        return plain
    most = [np.inf if constant(scores) else len(np.unique(group)) for scores in (a, b)]
    one, other = ((mean, *score_interval(mean, *its)) for mean, *its in zip(means, of_seeds, most, strict=True))
    low, high = joined(one, other)
    p = max(plain.p, permutation(a, b, positive, group))
    return Paired(difference, error, p, min(low, plain.low), max(high, plain.high))


def by_student(
    difference: float, error: float, of_memes: float, of_seeds: tuple[float, float], freedom: tuple[int, int]
) -> Paired:
    """Test a difference with this standard error by Student's t, for as few seeds as there are."""
    freely = degrees(error**2, of_seeds, freedom)
    half = -float(stdtrit(freely, (1 - LEVEL) / 2)) * error
    p = float(2 * stdtr(freely, -abs(difference) / error))
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return Paired(difference, error, p, low, high, of_memes, of_seeds, freedom)


def contrast(
    up: Float[np.ndarray, "run positive"],
    down: Float[np.ndarray, "run negative"],
    up_group: Int[np.ndarray, " positive"],
    down_group: Int[np.ndarray, " negative"],
) -> Paired:
    """Test the mean over runs of a difference of two AUC-ROCs that is made run by run, from differences of placements.

    What a run owes to its seed is taken from itself: unlike in `delong`, the seeds of both sides are the same ones.
    Placements themselves, for differences, give an AUC-ROC. NaN where fewer than FEWEST groups hold a class.
    """
    mean, count = float(up.mean()), len(up)
    of_memes = clustered_error(up.mean(axis=0), down.mean(axis=0), up_group, down_group) ** 2
    of_seeds = seeds_alone(up, down, up_group, down_group)
    error = float(np.sqrt(of_memes + of_seeds))
    if not error > ROUNDING:
        same = float("nan") if np.isnan(error) else mean
        return Paired(mean, error, float("nan"), same, same)
    return by_student(mean, error, of_memes, (of_seeds, 0.0), (max(count - 1, 1), 1))


def degrees(variance: float, of_seeds: Sequence[float], freedom: Sequence[int]) -> float:
    """Return the degrees of freedom of a variance of which these parts were measured with few (Satterthwaite 1946)."""
    weight = sum(part**2 / count for part, count in zip(of_seeds, freedom, strict=True))
    return variance**2 / weight if weight else np.inf


def seeds_alone(
    up: Float[np.ndarray, "run positive"],
    down: Float[np.ndarray, "run negative"],
    up_group: Int[np.ndarray, " positive"],
    down_group: Int[np.ndarray, " negative"],
) -> float:
    """Return the variance of a mean AUC-ROC over runs that seeds make whichever memes there are; 0 for a single run.

    Two-way analysis of variance: AUC-ROCs of runs on the same memes vary with the seed and with what a seed makes of
    these memes, which the variance over memes of the mean holds already. That of the runs' departures from their mean
    is the second, (runs - 1) times.
    """
    runs = len(up)
    if runs < 2:
        return 0.0
    departures = zip(up - up.mean(axis=0), down - down.mean(axis=0), strict=True)
    both = np.mean([clustered_error(*departure, up_group, down_group) ** 2 for departure in departures]) / (runs - 1)
    return float(np.fmax(0.0, seeds_variance(up.mean(axis=1)) - both))


def permutation(
    a: Float[np.ndarray, "run_a meme"],
    b: Float[np.ndarray, "run_b meme"],
    positive: Bool[np.ndarray, " meme"],
    group: Int[np.ndarray, " meme"],
) -> float:
    """Return how often, of heads whose ranks are swapped in groups drawn at random, AUC-ROCs differ as much as here.

    Ranks are means over runs. Two-sided, the present one counted (Phipson and Smyth 2010): never 0.
    """

    def areas(ranks: Float[np.ndarray, "draw meme"]) -> Float[np.ndarray, " draw"]:
        ups, downs = positive.sum(), (~positive).sum()
        return (rankdata(ranks, axis=1)[:, positive].sum(axis=1) - ups * (ups + 1) / 2) / (ups * downs)

    ranks_a, ranks_b = (rankdata(scores, axis=1).mean(axis=0, keepdims=True) for scores in (a, b))
    seen = abs((areas(ranks_a) - areas(ranks_b))[0]) - ROUNDING
    generator, at_once, as_large = np.random.default_rng(0), max(1, CHUNK // len(group)), 0
    for start in range(0, RESAMPLES, at_once):
        drawn = generator.random((min(at_once, RESAMPLES - start), int(group.max()) + 1)) < 0.5
        swapped = drawn[:, group]
        one, other = np.where(swapped, ranks_b, ranks_a), np.where(swapped, ranks_a, ranks_b)
        as_large += int((abs(areas(one) - areas(other)) >= seen).sum())
    return (as_large + 1) / (RESAMPLES + 1)


def auc_error(
    scores: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"], group: Int[np.ndarray, " meme"]
) -> float:
    """Standard error, over memes and seeds, of a head's AUC-ROC (mean over runs) by the same formula."""
    return delong(scores, np.zeros((1, len(positive))), positive, group).standard_error


def influences(
    up: Float[np.ndarray, " positive"],
    down: Float[np.ndarray, " negative"],
    up_group: Int[np.ndarray, " positive"],
    down_group: Int[np.ndarray, " negative"],
) -> list[Float[np.ndarray, " group"]]:
    """Return what each group adds to a mean placement beyond its share, of the positives and of the negatives."""
    count = int(max(up_group.max(), down_group.max())) + 1
    classes = ((up, up_group), (down, down_group))
    return [np.bincount(group, value - value.mean(), count) / len(value) for value, group in classes]


def clustered_error(
    up: Float[np.ndarray, " positive"],
    down: Float[np.ndarray, " negative"],
    up_group: Int[np.ndarray, " positive"],
    down_group: Int[np.ndarray, " negative"],
) -> float:
    """Obuchowski 1997, equation 3: each group's summed placements, about the mean, are one observation.

    NaN where fewer than FEWEST groups hold memes of a class.
    """
    if few(up_group, down_group):
        return float("nan")
    sums, present = influences(up, down, up_group, down_group), [len(np.unique(its)) for its in (up_group, down_group)]
    groups_in_all = len(np.union1d(up_group, down_group))
    own = sum(k / (k - 1) * float(total @ total) for k, total in zip(present, sums, strict=True))
    shared = groups_in_all / (groups_in_all - 1) * float(sums[0] @ sums[1])
    return float(np.sqrt(max(0.0, own + 2 * shared)))
