"""Intervals of figures between 0 and 1, which stay honest near the ends, and of their differences."""

from typing import Any

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
ROUNDING = 1e-12  # of means over runs: one win of a pair of memes is more, in any split of less than a million memes


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
