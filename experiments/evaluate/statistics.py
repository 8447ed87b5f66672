"""What a figure measured on a few hundred memes is worth: intervals, paired tests, correction for several tests.

Runs (seeds) of a head are averaged: the figure that a table shows, its interval and its p-value all speak about the
mean over runs of a metric. Two things are luck, which memes there are and which seeds: memes of one group (equal text
or equal image) move together, for they were made as variants of each other; seeds are a sample of all seeds. Arrays
that are undefined hold NaN.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from extract.machine import cores

RESAMPLES = 2_000
LEVEL = 0.95
FEWEST = 10  # groups that hold a label, or in which a difference varies: with fewer, a normal interval means nothing
ROUNDING = 1e-12  # of means over runs: one win of a pair of memes is more, in any split of less than a million memes
CHUNK = 1 << 18  # weights that a thread holds at a time; 1 MB of float32 stays in its core's cache
NARROWEST = 32  # draws that a thread works on at a time, however many memes; sums of narrower rows are slow

Weights = Float[np.ndarray, "meme draw"]
Draws = Float[np.ndarray, " draw"]
Statistic = Callable[[Weights], dict[str, Draws]]


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


@dataclass(frozen=True)
class Discordant:
    """Memes that exactly one of two heads gets right."""

    only_a: int
    only_b: int
    p: float  # two-sided, exact


def groups(key: Shaped[np.ndarray, " meme"], alone: Bool[np.ndarray, " meme"]) -> Int[np.ndarray, " meme"]:
    """Number the memes' groups: equal keys share a group, except memes `alone`, which are one group each."""
    number = np.unique(key, return_inverse=True)[1].reshape(-1)
    number = np.where(alone, number.max(initial=0) + 1 + np.arange(len(key)), number)
    return np.unique(number, return_inverse=True)[1].reshape(-1)


def common(group: Int[np.ndarray, " meme"]) -> Bool[np.ndarray, " meme"]:
    """Return which memes share a group with others that holds more than half of all."""
    return np.bincount(group)[group] > max(1, len(group) / 2)


def few(*groups: Int[np.ndarray, " _"]) -> bool:
    """Whether memes of one of these labels, of each meme's group given, are of fewer than FEWEST groups."""
    return min(len(np.unique(its)) for its in groups) < FEWEST


def connected(*groupings: Int[np.ndarray, " meme"]) -> Int[np.ndarray, " meme"]:
    """Number the components of memes that share a group in any of the groupings, directly or through other memes."""
    count = len(groupings[0])
    starts = count + np.cumsum([0, *(int(grouping.max(initial=-1)) + 1 for grouping in groupings)])
    memes = np.tile(np.arange(count), len(groupings))
    nodes = np.concatenate([grouping + start for grouping, start in zip(groupings, starts, strict=False)])
    edges = coo_array((np.ones(len(memes), np.int8), (memes, nodes)), shape=(starts[-1], starts[-1]))
    return np.unique(connected_components(edges, directed=False)[1][:count], return_inverse=True)[1].reshape(-1)


def resamples(group: Int[np.ndarray, " meme"], draws: int, seed: int) -> Iterator[Weights]:
    """Draw as many groups as there are, with replacement; yield how often each meme was drawn, some draws at a time."""
    count, generator = int(group.max(initial=-1)) + 1, np.random.default_rng(seed)
    at_once = max(NARROWEST, CHUNK // max(1, len(group)))
    for start in range(0, draws, at_once):
        width = min(at_once, draws - start)
        drawn = generator.integers(count, size=(width, count)) + count * np.arange(width)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=width * count).reshape(width, count)
        # meme-major: reordering memes is then a copy of whole rows
        yield np.ascontiguousarray(times.astype(np.float32).T)[group]


def bootstrap(
    group: Int[np.ndarray, " meme"],
    statistics: Mapping[str, Statistic],
    draws: int = RESAMPLES,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, dict[str, Draws]]:
    """Recompute every head's metrics on the same resamples of groups (cluster bootstrap, Field and Welsh 2007).

    The same draws for all, so that heads may be subtracted from each other draw by draw. `threads` (None: one for each
    core) share heads and draws, and change no number. Returns draws by head and metric.
    """
    threads = threads or cores()
    parts: dict[str, list[Future[dict[str, Draws]]]] = {name: [] for name in statistics}
    # a product of its own to each thread: a threaded BLAS would sum in another order on another number of cores
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        try:
            for number, weight in enumerate(resamples(group, draws, seed)):
                for name, statistic in statistics.items():
                    parts[name].append(pool.submit(statistic, weight))
                    if number >= threads:
                        parts[name][number - threads].result()  # memory holds so many weights, and no more
            found = {name: [part.result() for part in parts[name]] for name in statistics}
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody wants what is queued
    return {
        name: {metric: np.concatenate([part[metric] for part in each]) for metric in each[0]}
        for name, each in found.items()
        if each
    }


def interval(draws: Draws, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval; NaN where more than one draw in twenty is undefined (a resample of one class)."""
    defined = draws[np.isfinite(draws)]
    if len(defined) < 0.95 * len(draws) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def variance(draws: Draws) -> float:
    """Return the variance of the draws; NaN where more than one in twenty is undefined (a resample of one class)."""
    defined = draws[np.isfinite(draws)]
    return float(np.var(defined)) if len(defined) >= 0.95 * len(draws) and len(defined) else float("nan")


def wilson(share: Any, count: Any) -> tuple[Any, Any]:
    """Return Wilson's 1927 interval of shares seen in `count` trials (numbers or arrays; no whole ones are needed)."""
    z = -stdtrit(np.inf, (1 - LEVEL) / 2)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.maximum(0, middle - half), np.minimum(1, middle + half)


def score_interval(mean: float, variance: float, most: int | float) -> tuple[float, float]:
    """Return Wilson's interval of a figure between 0 and 1, for as many memes as its variance is worth.

    A share of n independent memes has the variance mean (1 - mean) / n: a figure's own variance says how many its memes
    are worth, but no more than `most` (the groups of memes that it is made of), so that a figure of 1 that never
    varies is not taken for certain. Of AUC-ROCs up to .999 on 10 to 250 memes of either label, simulated intervals
    held the true one 94.8% to 99.7% of the time.
    """
    if not np.isfinite(mean + variance):
        return float("nan"), float("nan")
    count = min(mean * (1 - mean) / variance, most) if variance > ROUNDING**2 else most
    low, high = wilson(mean, float(max(count, ROUNDING)))
    return float(low), float(high)


def joined(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float]:
    """Join two figures, each with the ends of its interval, to the interval of their difference (Newcombe 1998).

    Without correlation: wider than it has to be where the figures are of the same memes.
    """
    low = one[0] - other[0] - np.hypot(one[0] - one[1], other[2] - other[0])
    return float(low), float(one[0] - other[0] + np.hypot(one[2] - one[0], other[0] - other[1]))


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
    return Paired(
        difference, error, p, max(-1.0, difference - half), min(1.0, difference + half), of_memes, of_seeds, freedom
    )


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


def mcnemar(
    right_a: Bool[np.ndarray, " meme"], right_b: Bool[np.ndarray, " meme"], group: Int[np.ndarray, " meme"]
) -> Discordant:
    """Exact McNemar test: of the memes that one head alone gets right, is it as often the one as the other?

    Memes of one group change sides together: the exact sign test of each group's surplus, which is McNemar's where
    every meme is a group of its own (Durkalski et al. 2003 have its normal approximation).
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    surplus = np.bincount(group, right_a.astype(int) - right_b.astype(int)).astype(int)
    chance = np.ones(1)  # of every sum of signed surpluses, from the least to the largest
    for step in abs(surplus[surplus != 0]):
        chance = (np.pad(chance, (2 * step, 0)) + np.pad(chance, (0, 2 * step))) / 2
    sums = np.arange(len(chance)) - len(chance) // 2
    return Discordant(only_a, only_b, float(min(1.0, chance[abs(sums) >= abs(surplus.sum())].sum())))


def with_holm(tests: Sequence[Any]) -> list[Any]:
    """Return records of tests, which have a `p`, with `p_holm` corrected among them."""
    adjusted = holm(np.array([each.p for each in tests]))
    return [replace(each, p_holm=float(p)) for each, p in zip(tests, adjusted, strict=True)]


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Holm 1979: p-values that keep the chance of any false alarm among all tests at the level. NaN stays out."""
    adjusted = np.full(len(p), np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted
