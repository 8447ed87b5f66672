"""What a figure measured on a few hundred memes is worth: intervals, paired tests, correction for several tests.

Runs (seeds) of a head are averaged: the figure that a table shows, its interval and its p-value all speak about the
mean over runs of a metric. Runs are held fixed; memes are what is sampled. Memes of one group (equal text) move
together, for they were made as variants of each other. Arrays that are undefined hold NaN.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import ndtr
from scipy.stats import binomtest, rankdata
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from extract.machine import cores

RESAMPLES = 2_000
LEVEL = 0.95
ROUNDING = 1e-12  # of means over runs: one win of a pair of memes is more, in any split of less than a million memes
CHUNK = 1 << 18  # weights that a thread holds at a time; 1 MB of float32 stays in its core's cache
NARROWEST = 32  # draws that a thread works on at a time, however many memes; sums of narrower rows are slow
STEP = 16  # rows added up one after the other

Weights = Float[np.ndarray, "meme draw"]
Draws = Float[np.ndarray, " draw"]
Statistic = Callable[[Weights], dict[str, Draws]]


@dataclass(frozen=True)
class Ranking:
    """A run's memes from the highest score to the lowest: all that AUC-ROC and average precision depend on."""

    positive: Int[np.ndarray, " positive"]  # the memes of label 1, the highest first
    negative: Int[np.ndarray, " negative"]  # the others
    found: Int[np.ndarray, " positive"]  # for each positive, how many positives score as high or higher
    above: Int[np.ndarray, " positive"]  # how many negatives score higher
    passed: Int[np.ndarray, " positive"]  # how many score as high or higher


@dataclass(frozen=True)
class Paired:
    """One metric of two heads on the same memes."""

    difference: float
    standard_error: float
    p: float  # two-sided; NaN where it is undefined


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


def ranking(score: Float[np.ndarray, " meme"], positive: Bool[np.ndarray, " meme"]) -> Ranking:
    order = np.argsort(-score, kind="stable")
    is_positive = positive[order]
    # equal scores are one step of the ranking, from its first position up to its end
    start = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    step = np.searchsorted(start, np.flatnonzero(is_positive), side="right") - 1
    first, end = start[step], np.append(start, len(order))[step + 1]
    before = np.append(0, np.cumsum(is_positive))  # positives before a position of `order`
    return Ranking(order[is_positive], order[~is_positive], before[end], first - before[first], end - before[end])


def weighted_areas(ranked: Ranking, weight: Weights) -> tuple[Draws, Draws]:
    """AUC-ROC (ties count one half) and average precision of each draw, memes counted as often as they were drawn.

    Both are sums over positives: of the negatives below, and of the precision down to the positive's step. Weights are
    whole numbers, and so exact in float32 whatever the order in which they are added.
    """
    positive = weight[ranked.positive]
    positives, negatives = running(weight, ranked.positive), running(weight, ranked.negative)
    found, passed = positives[ranked.found], negatives[ranked.passed]
    seen = np.maximum(found + passed, 1)
    if (ranked.above < ranked.passed).any():
        passed = (passed + negatives[ranked.above]) / 2
    every, others = positives[len(ranked.positive)], negatives[len(ranked.negative)]
    with np.errstate(divide="ignore", invalid="ignore"):
        wins = np.einsum("pd,pd->d", positive, np.subtract(others, passed, out=passed))
        precision = np.einsum("pd,pd->d", positive, np.divide(found, seen, out=seen))
        return wins / (every * others), precision / every


def running(weight: Weights, memes: Int[np.ndarray, " some"]) -> Float[np.ndarray, "position draw"]:
    """Sums of these memes' weights before each position, the end (and a few more, never meant) included.

    Added up within blocks of STEP rows, all blocks at once, and then over blocks: numpy's cumsum down columns goes
    through memory a column at a time, and takes three times as long.
    """
    blocks, draws = -(-len(memes) // STEP), weight.shape[1]
    sums = np.empty((1 + blocks * STEP, draws), weight.dtype)
    sums[0], sums[1 + len(memes) :] = 0, 0
    np.take(weight, memes, axis=0, out=sums[1 : 1 + len(memes)], mode="clip")  # any other mode copies twice
    block = sums[1:].reshape(blocks, STEP, draws)
    for row in range(1, STEP):
        block[:, row] += block[:, row - 1]
    block[1:] += np.cumsum(block[:-1, -1], axis=0)[:, None]
    return sums


def placements(
    score: Float[np.ndarray, " meme"], positive: Bool[np.ndarray, " meme"]
) -> tuple[Float[np.ndarray, " positive"], Float[np.ndarray, " negative"]]:
    """For each positive the share of negatives it beats, for each negative the share of positives that beat it.

    Ties count one half; the mean of either is the AUC-ROC. In O(n log n) by midranks (Sun and Xu 2014).
    """
    rank = rankdata(score)
    up, down = score[positive], score[~positive]
    return (rank[positive] - rankdata(up)) / len(down), 1 - (rank[~positive] - rankdata(down)) / len(up)


def delong(
    a: Float[np.ndarray, "run_a meme"],
    b: Float[np.ndarray, "run_b meme"],
    positive: Bool[np.ndarray, " meme"],
    group: Int[np.ndarray, " meme"],
) -> Paired:
    """Difference of two heads' AUC-ROC, each the mean over its runs, with a two-sided test against no difference.

    DeLong, DeLong and Clarke-Pearson 1988 for a linear contrast of correlated AUC-ROCs (weights 1/runs and -1/runs),
    with Obuchowski's 1997 variance for clustered data, equal to DeLong's where every meme is a group of its own.
    NaN where a class is missing or lies in one group, or where neither head errs differently anywhere.
    """
    if positive.all() or not positive.any():
        return Paired(float("nan"), float("nan"), float("nan"))
    up = np.zeros(int(positive.sum()))
    down = np.zeros(int((~positive).sum()))
    for scores, sign in ((a, 1), (b, -1)):
        for score in scores:
            positives, negatives = placements(score, positive)
            up += sign * positives / len(scores)
            down += sign * negatives / len(scores)
    difference, error = float(up.mean()), clustered_error(up, down, group[positive], group[~positive])
    difference, error = (0.0 if abs(value) < ROUNDING else value for value in (difference, error))
    if error == 0:  # the same ranking twice differs by nothing; else nothing can be said
        return Paired(difference, 0.0, 1.0 if difference == 0 else float("nan"))
    return Paired(difference, error, float(2 * ndtr(-abs(difference) / error)))


def auc_error(
    scores: Float[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"], group: Int[np.ndarray, " meme"]
) -> float:
    """Standard error of a head's AUC-ROC (mean over runs) by the same formula."""
    return delong(scores, np.zeros((1, len(positive))), positive, group).standard_error


def clustered_error(
    up: Float[np.ndarray, " positive"],
    down: Float[np.ndarray, " negative"],
    up_group: Int[np.ndarray, " positive"],
    down_group: Int[np.ndarray, " negative"],
) -> float:
    """Obuchowski 1997, equation 3: each group's summed placements, about the mean, are one observation."""
    count = int(max(up_group.max(), down_group.max())) + 1
    sums, present = [], []
    for value, group in ((up, up_group), (down, down_group)):
        sums.append(np.bincount(group, value - value.mean(), count) / len(value))
        present.append(len(np.unique(group)))
    if min(present) < 2:
        return float("nan")
    groups_in_all = len(np.union1d(up_group, down_group))
    own = sum(k / (k - 1) * float(total @ total) for k, total in zip(present, sums, strict=True))
    shared = groups_in_all / (groups_in_all - 1) * float(sums[0] @ sums[1])
    return float(np.sqrt(max(0.0, own + 2 * shared)))


def mcnemar(right_a: Bool[np.ndarray, " meme"], right_b: Bool[np.ndarray, " meme"]) -> Discordant:
    """Exact McNemar test: of the memes that one head alone gets right, is it as often the one as the other?"""
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    discordant = only_a + only_b
    return Discordant(only_a, only_b, float(binomtest(only_a, discordant).pvalue) if discordant else 1.0)


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Holm 1979: p-values that keep the chance of any false alarm among all tests at the level. NaN stays out."""
    adjusted = np.full(len(p), np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted
