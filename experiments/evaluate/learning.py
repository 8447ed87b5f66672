"""How AUC-ROC grows with labels: nested subsets of train, figures over draws, seeds and memes, and a power law."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import curve_fit
from scipy.stats import chi2, norm

from experiments.evaluate import delong, intervals
from experiments.results.learning import LearningCurve, Point, PowerLaw, Replaced
from experiments.results.records import NAN, Figure, Leaderboard, SplitSize

STEEPEST = 3.0  # exponent of a power law
POOR = 0.05  # p-value below which sizes do not lie on one


def nested(
    group: Int[np.ndarray, " meme"], positive: Bool[np.ndarray, " meme"], sizes: Sequence[int], seed: int
) -> dict[int, Int[np.ndarray, " some"]]:
    """Draw a subset of memes for each size; it holds the subsets of all smaller ones.

    Groups stay whole: one that is larger than what is left of a size waits for the next, so that a subset may be short
    of its size, and never over it. Groups of label 1 (half of their memes or more) and the others are shuffled each on
    their own and then merged, evenly, so that every subset has about the labels of all.
    """
    memes, of_label_1 = np.bincount(group), np.bincount(group, positive)
    order = np.random.default_rng(seed).permutation(len(memes))
    place = np.empty(len(memes))  # of a group's middle in the shuffled row of its kind, as a share of that row
    for kind in (2 * of_label_1 >= memes, 2 * of_label_1 < memes):
        row = order[kind[order]]
        place[row] = (np.cumsum(memes[row]) - memes[row] / 2) / max(memes[row].sum(), 1)
    waiting = order[np.argsort(place[order], kind="stable")].tolist()
    taken, left, subsets = np.zeros(len(memes), dtype=bool), 0, {}
    for size in sorted(sizes):
        left, row, waiting = size - int(memes[taken].sum()), waiting, []
        for number, each in enumerate(row):
            if not left:
                waiting += row[number:]
                break
            if memes[each] <= left:
                taken[each], left = True, left - memes[each]
            else:
                waiting.append(each)
        subsets[size] = np.flatnonzero(taken[group])
    return subsets


@dataclass(frozen=True)
class Placed:
    """A head's placements on one split at one size, in as many observations as luck had of it.

    An observation is a draw, its seeds averaged; where there is one draw, a seed.
    """

    up: Float[np.ndarray, "observation positive"]
    down: Float[np.ndarray, "observation negative"]

    @classmethod
    def of(cls, logits: Sequence[Float[np.ndarray, "run meme"]], positive: Bool[np.ndarray, " meme"]) -> "Placed":
        """logits: of each draw."""
        draws = [delong.placements_of_runs(each.astype(np.float64), positive) for each in logits]
        if len(draws) == 1:
            return cls(*draws[0])
        return cls(*(np.stack([part.mean(axis=0) for part in parts]) for parts in zip(*draws, strict=True)))


def figure(placed: Placed, groups: tuple[np.ndarray, np.ndarray], constant: bool) -> Figure:
    """Return the mean AUC-ROC with its spread and its 95% interval, over memes and observations.

    groups: of the positive and of the negative memes. constant: all memes score the same.
    """
    test = delong.contrast(placed.up, placed.down, *groups)
    runs = placed.up.mean(axis=1)
    spread = float(np.std(runs, ddof=1)) if len(runs) > 1 else NAN
    most = np.inf if constant else len(np.union1d(*groups))
    return Figure(
        test.difference, spread, *intervals.score_interval(test.difference, test.standard_error**2, float(most))
    )


def power_law(points: Sequence[Point], placed: Sequence[Placed], groups: tuple[np.ndarray, np.ndarray]) -> PowerLaw:
    """Fit AUC(n) = limit - distance (n / N)^-exponent, N the largest size, to one head's sizes on one split.

    Inverse power laws fit learning curves well as a rule (Hestness et al. 2017; Figueroa et al. 2012). Least squares
    weigh the sizes by their covariance: the same memes score them all, and each has draws and seeds of its own. What
    twice the labels bring, distance (1 - 2^-exponent), has its interval from the fit's covariance (delta method).
    Where memes or sizes are few, nothing rises, the sizes do not lie on the law (chi-squared test), or the interval is
    wider than all that was seen to rise, the law is refused: `refused` says which.
    """
    first, last = points[0], points[-1]
    areas, covariance = np.array([point.auc_roc.mean for point in points]), covariances(placed, groups)
    z = -float(norm.ppf((1 - intervals.LEVEL) / 2))
    # of few memes, polarisation may leave less than nothing
    error = float(np.sqrt(np.maximum(covariance[0, 0] + covariance[-1, -1] - 2 * covariance[0, -1], 0)))
    rise, half = float(areas[-1] - areas[0]), z * error
    seen = PowerLaw(
        last.head, last.split, first.memes, last.memes, rise, rise - half, rise + half, refused="too few sizes"
    )
    if not np.isfinite(covariance).all():
        return seen.but(refused="too few memes")
    if rise - half <= 0:
        return seen.but(refused="no rise")
    if len(points) < 4:
        return seen
    scale = np.array([point.memes for point in points]) / last.memes
    start, (low, high) = (0.1, 0.5, min(0.99, areas[-1] + 0.1)), ((0.0, 0.01, 0.0), (1.0, STEEPEST, 1.0))
    noise = covariance + intervals.ROUNDING * np.eye(len(points))
    try:
        fit, spread = curve_fit(
            along, scale, areas, start, sigma=noise, absolute_sigma=True, bounds=(low, high), max_nfev=2_000
        )
    except (RuntimeError, ValueError):  # no minimum; a covariance of too few memes to be one
        return seen.but(refused="no fit")
    distance, exponent, limit = map(float, fit)
    left = areas - along(scale, *fit)
    p = float(chi2.sf(left @ np.linalg.solve(noise, left), len(points) - 3))
    slope = np.array([1 - 2**-exponent, distance * np.log(2) * 2**-exponent, 0.0])
    gain, half = float(distance * slope[0]), z * float(np.sqrt(slope @ spread @ slope))
    law = seen.but(
        distance=distance, exponent=exponent, limit=limit, p=p, gain=gain, gain_low=gain - half, gain_high=gain + half
    )
    if not np.isfinite(half) or 2 * half > rise:
        return law.but(refused="too wide")
    return law.but(refused="poor fit" if p < POOR else "")


def along(
    scale: Float[np.ndarray, " size"], distance: float, exponent: float, limit: float
) -> Float[np.ndarray, " size"]:
    return limit - distance * scale**-exponent


def covariances(placed: Sequence[Placed], groups: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "size size"]:
    """Return the covariance of the sizes' AUC-ROCs: that of memes, and on the diagonal draws' and seeds' variance."""

    def of_memes(*sizes: Placed) -> float:
        up, down = (sum(getattr(each, part).mean(axis=0) for each in sizes) for part in ("up", "down"))
        return delong.clustered_error(up, down, *groups) ** 2

    alone = [of_memes(each) for each in placed]
    shared = [
        [(of_memes(one, other) - alone[i] - alone[j]) / 2 for j, other in enumerate(placed)]
        for i, one in enumerate(placed)
    ]
    return np.array(shared) + np.diag([delong.seeds_alone(each.up, each.down, *groups) for each in placed])


def beside(curve: LearningCurve, board: Leaderboard | None) -> tuple[list[Replaced], str]:
    """Return what a leaderboard's best other encoders on dev bring each head of a curve, on dev and on test.

    The word with it says why there are none: "", "no leaderboard", "other memes", "other encoders" or "no other row".
    """
    if board is None:
        return [], "no leaderboard"
    if not all(map(SplitSize.same_memes, board.sizes[:2], curve.splits[:2])):
        return [], "other memes"
    prints = {name: encoder.fingerprint for name, encoder in board.encoders.items()}
    its = {encoder.fingerprint for encoder in curve.encoders.values()}
    rows = {each.name: each for each in board.standings}
    own = [
        each
        for head in curve.settings
        for each in rows.values()
        if each.head == head and all(prints[name] in its for name in (each.text_encoder, each.image_encoder) if name)
    ]
    if not own:
        return [], "other encoders"
    replaced = []
    for each in own:
        for pair in board.others:
            if pair.against == each.name:
                one, other = (rows[name].splits[pair.split].metrics["auc_roc"] for name in (pair.against, pair.head))
                replaced.append(Replaced(each.head, each.encoders, rows[pair.head].encoders, one, other, pair))
    return replaced, "" if replaced else "no other row"


def evaluate(
    logits: Mapping[tuple[str, int], Sequence[Float[np.ndarray, "run meme"]]],
    memes: Mapping[int, float],
    kinds: Mapping[str, str],
    split: str,
    positive: Bool[np.ndarray, " meme"],
    group: Int[np.ndarray, " meme"],
) -> tuple[list[Point], list[PowerLaw]]:
    """Return every head's and reference's figure at every size on one split with both labels, and its power law.

    logits: by head and size, of each draw. memes: by size, the mean number of them in its subsets. kinds: "head" or
    "reference", by name.
    """
    groups = group[positive], group[~positive]
    points, laws = [], []
    for name, kind in kinds.items():
        its = {size: logits[name, size] for size in memes if logits.get((name, size))}
        placed = {size: Placed.of(draws, positive) for size, draws in its.items()}
        of_head = [
            Point(
                name, kind, split, size, memes[size], len(draws), len(draws[0]),
                figure(placed[size], groups, all(map(delong.constant, draws))),
            )
            for size, draws in its.items()
        ]  # fmt: skip
        points += of_head
        laws += [power_law(of_head, list(placed.values()), groups)] if len(of_head) > 1 else []
    return points, laws
