"""Memes that share a text or an image move together, for they were made as variants of each other: their groups, and
resamples of them (cluster bootstrap). Draws that are undefined hold NaN."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.evaluate.intervals import LEVEL
from extract.machine import cores

RESAMPLES = 2_000
FEWEST = 10  # groups that hold a label, or in which a difference varies: with fewer, a normal interval means nothing
CHUNK = 1 << 18  # weights that a thread holds at a time; 1 MB of float32 stays in its core's cache
NARROWEST = 32  # draws that a thread works on at a time, however many memes; sums of narrower rows are slow

Weights = Float[np.ndarray, "meme draw"]
Draws = Float[np.ndarray, " draw"]
Statistic = Callable[[Weights], dict[str, Draws]]


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
            drawn = {name: [part.result() for part in parts[name]] for name in statistics}
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody wants what is queued
    return {
        name: {metric: np.concatenate([part[metric] for part in each]) for metric in each[0]}
        for name, each in drawn.items()
        if each
    }


def interval(draws: Draws) -> tuple[float, float]:
    """Return the percentile interval; NaN where more than one draw in twenty is undefined (a resample of one class)."""
    defined = draws[np.isfinite(draws)]
    if len(defined) < 0.95 * len(draws) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def variance(draws: Draws) -> float:
    """Return the variance of the draws; NaN where more than one in twenty is undefined (a resample of one class)."""
    defined = draws[np.isfinite(draws)]
    return float(np.var(defined)) if len(defined) >= 0.95 * len(draws) and len(defined) else float("nan")
