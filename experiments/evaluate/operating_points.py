"""Where a moderator may set the threshold: chosen on dev, by the runs' mean probability as in predict, told on test.

From `high` on a meme is blocked, below `low` allowed, and between the two a person looks at it. Where label 1 will be
rarer or more common than in the dataset (`Stakes.prevalence`), memes of either label are weighed accordingly in all
that depends on it: precision, the share reviewed, the error of the rest, cost (Elkan 2001).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit

from experiments.data import Data
from experiments.evaluate import intervals, resampling
from experiments.results.folder import Results
from experiments.results.records import NAN, Figure

KINDS = ("recall", "precision", "cost", "review", "error")
RELIES_ON: dict[str, tuple[str, ...]] = {  # figures, by kind
    "recall": ("recall",),
    "precision": ("precision",),
    "cost": ("recall", "false_alarms"),
    "review": ("error",),
    "error": ("error",),
}
MARGIN = 0.1  # half of dev's interval of what a goal relies on: with a wider one the point is a guess
Band = tuple[float, float]  # probabilities: allowed below the first, blocked from the second on


@dataclass(frozen=True)
class Stakes:
    """What mistakes cost, and how common label 1 will be. NaN: no costs, and as common as in the split."""

    miss: float = NAN
    alarm: float = NAN
    prevalence: float = NAN


@dataclass(frozen=True)
class Goal:
    """What a threshold is to reach: recall, precision, the least cost, a share to review, or an error of the rest."""

    kind: str
    target: float = NAN  # of a cost, none

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Read "recall=.8", "precision=.9", "review=.1", "error=.05" or "cost". Raises ValueError for anything else."""
        kind, _, number = text.strip().partition("=")
        if kind not in KINDS or (kind == "cost") != (number == ""):
            raise ValueError(f"{text} is none of recall=R, precision=P, review=SHARE, error=E and cost")
        try:
            target = float(number) if number else NAN
        except ValueError:
            target = NAN
        if number and not 0 < target < 1:
            raise ValueError(f"{text}: {number} is not between 0 and 1")
        return cls(kind, target)

    @property
    def name(self) -> str:
        return self.kind if np.isnan(self.target) else f"{self.kind}={self.target:g}"


STANDARD = [Goal("precision", target) for target in (0.8, 0.9, 0.95)]
STANDARD += [Goal("recall", 0.5), Goal("recall", 0.8), Goal("review", 0.1)]


@dataclass(frozen=True)
class Judged:
    """A head's mean probability of a split's labelled memes, and what they are."""

    probability: Float[np.ndarray, " meme"]
    positive: Bool[np.ndarray, " meme"]
    group: Int[np.ndarray, " meme"]  # memes that share a text or an image

    def weight(self, prevalence: float) -> Float[np.ndarray, " meme"]:
        """Return what each meme counts where label 1 is that common; NaN where a label is missing that should be."""
        if np.isnan(prevalence):
            return np.ones(len(self.positive))
        share = self.positive.mean()
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(self.positive, prevalence / share, (1 - prevalence) / (1 - share))
        return weight if 0 < share < 1 else np.full(len(weight), NAN)


@dataclass(frozen=True)
class OperatingPoint:
    """A goal, the thresholds that dev chose for it, and what they come to on a split."""

    head: str
    goal: str  # "recall=.8"
    split: str  # dev chose; its own figures flatter
    low: float  # allowed below; NaN where dev reaches the goal nowhere
    high: float  # blocked from here on
    figures: dict[str, Figure]  # recall, precision, false_alarms, reviewed, error, cost; empty where dev does not reach
    too_small: bool = False  # dev pins what the goal relies on to no better than MARGIN


@dataclass(frozen=True)
class OperatingPoints:
    """All that operating_points.json holds."""

    run: str  # of the comparison
    stakes: Stakes
    points: list[OperatingPoint]


def operating_points(results: Results, data: Data, goals: Sequence[Goal], stakes: Stakes) -> OperatingPoints:
    """Choose every head's thresholds on dev for each goal, and report them on dev and on each labelled test split of
    this dataset."""
    goals = [goal for goal in goals if goal.kind != "cost" or stakes.miss > 0]
    points = []
    group = {split.name: split.labelled.group for split in (data.dev, *data.tests)}
    for head in results.heads:
        on_dev = judged(results, head, results.dev, group[results.dev])
        bands = [choose(goal, on_dev, threshold(results, head), stakes) for goal in goals]
        chosen = [(goal, band) for goal, band in zip(goals, bands, strict=True) if band]
        pinned = zip(chosen, measure(on_dev, chosen, stakes), strict=True)
        small = {goal for (goal, _), its in pinned if too_small(goal, its)}
        for split in results.predicted:
            if split not in group or not results.size(split).labelled:
                continue
            told = measure(judged(results, head, split, group[split]), chosen, stakes)
            by_goal = {goal: its for (goal, _), its in zip(chosen, told, strict=True)}
            for goal, band in zip(goals, bands, strict=True):
                low, high = band or (NAN, NAN)
                points.append(OperatingPoint(head, goal.name, split, low, high, by_goal.get(goal, {}), goal in small))
    return OperatingPoints(results.comparison.run, stakes, points)


def judged(results: Results, head: str, split: str, group: Int[np.ndarray, " meme"] | None = None) -> Judged:
    """Return a head's mean probabilities of a split's labelled memes. group: of each; none is looked at to choose."""
    predicted = results.predicted[split]
    mask = predicted.labelled
    groups = np.arange(mask.sum()) if group is None else group
    return Judged(predicted.heads[head].probability[mask], predicted.positive[mask], groups)


def threshold(results: Results, head: str) -> float:
    """Return the threshold that predict uses: the one that dev chose for the mean over runs."""
    rows = results.rows(results.dev)
    means = [row for name, row in rows.items() if row.kind == "mean" and name.startswith(f"{head}, ")]
    return [*means, rows[head]][0].threshold  # of a single run there is no mean


def bands(results: Results, goal: Goal, stakes: Stakes) -> dict[str, Band]:
    """Return by head the thresholds that dev chooses for a goal; a head that reaches it nowhere is missing."""
    chosen = {
        head: choose(goal, judged(results, head, results.dev), threshold(results, head), stakes)
        for head in results.heads
    }
    return {head: band for head, band in chosen.items() if band}


def choose(goal: Goal, dev: Judged, own: float, stakes: Stakes) -> Band | None:
    """Return the thresholds that reach a goal on these memes (give it dev's); None where none does.

    own: predict's threshold, about which memes are reviewed: those whose log odds lie nearest to its own.
    Of the thresholds with a recall, the highest; with a precision, the one that finds most; of equally cheap ones, that
    which blocks least.
    """
    if goal.kind in ("review", "error"):
        reviewed, error, distance = risk(dev, own, stakes.prevalence)
        reach = reviewed <= goal.target + 1e-12 if goal.kind == "review" else error <= goal.target + 1e-12
        if not reach.any():
            return None
        [places] = np.nonzero(reach)
        half = distance[places[-1] if goal.kind == "review" else places[0]]
        return (own, own) if half == 0 else (float(expit(log_odds(own) - half)), float(expit(log_odds(own) + half)))
    cuts, hits, alarms = counted(dev, stakes.prevalence)
    if goal.kind == "recall":
        reach = hits / hits[0] >= goal.target - 1e-12
    elif goal.kind == "precision":
        with np.errstate(invalid="ignore"):
            reach = hits / (hits + alarms) >= goal.target - 1e-12
        reach &= hits == hits[reach].max(initial=0.0)
    else:
        cost = stakes.miss * (hits[0] - hits) + stakes.alarm * alarms
        reach = cost <= cost.min() + 1e-9
    if not reach.any():
        return None
    cut = float(cuts[np.flatnonzero(reach)[-1]])
    return cut, cut


def counted(judged: Judged, prevalence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return thresholds from the lowest up, and what each finds of label 1 and calls 1 by mistake, as weights.

    They lie halfway between neighbouring scores; the first calls everything 1, the last nothing.
    """
    scores = np.unique(judged.probability)
    top = (scores[-1] + 1) / 2 if scores[-1] < 1 else np.nextafter(1, 2)
    cuts = np.r_[0.0, (scores[1:] + scores[:-1]) / 2, top]
    order = np.argsort(judged.probability, kind="stable")
    weight, below = judged.weight(prevalence)[order], np.searchsorted(judged.probability[order], cuts)
    positive = judged.positive[order]
    hits, alarms = (np.append(0.0, np.cumsum(weight * mask)) for mask in (positive, ~positive))
    return cuts, hits[-1] - hits[below], alarms[-1] - alarms[below]


def risk(judged: Judged, own: float, prevalence: float = NAN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shares that are reviewed, the error of the rest, and the half width in log odds about `own` that does it.

    The risk-coverage curve of selective classification (El-Yaniv and Wiener 2010); something is left, always.
    """
    distance = abs(log_odds(judged.probability) - log_odds(own))
    order = np.argsort(distance, kind="stable")
    ordered, weight = distance[order], judged.weight(prevalence)[order]
    wrong = weight * ((judged.probability >= own) != judged.positive)[order]
    steps = np.flatnonzero(np.diff(ordered, prepend=-1.0) > 0)  # equal ones are reviewed together
    before = np.where(steps > 0, (ordered[steps] + ordered[steps - 1]) / 2, 0.0)
    left = np.cumsum(weight[::-1])[::-1][steps]
    return 1 - left / weight.sum(), np.cumsum(wrong[::-1])[::-1][steps] / left, before


def log_odds(probability: np.ndarray | float) -> np.ndarray:
    return np.asarray(logit(np.clip(probability, 2**-53, 1 - 2**-53)))


def measure(judged: Judged, chosen: Sequence[tuple[Goal, Band]], stakes: Stakes) -> list[dict[str, Figure]]:
    """Return each point's figures with intervals over groups of memes; those of the runs' luck are not in them."""
    if not chosen:
        return []
    named = [ratios(judged, band, stakes) for _, band in chosen]
    above, below = (np.stack([ratio[part] for each in named for ratio in each.values()]) for part in (0, 1))

    def recompute(weight: resampling.Weights) -> dict[str, resampling.Draws]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return {str(row): draws for row, draws in enumerate((above @ weight) / (below @ weight))}

    draws = iter(resampling.bootstrap(judged.group, {"": recompute})[""].values())
    return [{name: figure(*ratio, next(draws), judged.group) for name, ratio in each.items()} for each in named]


def ratios(judged: Judged, band: Band, stakes: Stakes) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Return each figure as what a meme adds above and below the line, and what the ratio is a multiple of."""
    positive, weight = judged.positive, judged.weight(stakes.prevalence)
    blocked, allowed = judged.probability >= band[1], judged.probability < band[0]
    missed, alarmed, decided = allowed & positive, blocked & ~positive, blocked | allowed
    measures = {
        "recall": (blocked & positive, positive, 1.0),
        "precision": (weight * (blocked & positive), weight * blocked, 1.0),
        "false_alarms": (alarmed, ~positive, 1.0),
        "reviewed": (weight * ~decided, weight, 1.0),
        "error": (weight * (missed | alarmed), weight * decided, 1.0),
    }
    if stakes.miss > 0:
        most = max(stakes.miss, stakes.alarm)
        measures["cost"] = (weight * (stakes.miss * missed + stakes.alarm * alarmed) / most, weight, most)
    return {
        name: (np.asarray(up, float), np.asarray(down, float), scale) for name, (up, down, scale) in measures.items()
    }


def figure(above: np.ndarray, below: np.ndarray, scale: float, draws: np.ndarray, group: np.ndarray) -> Figure:
    if not below.sum() > 0:
        return Figure(NAN, undefined=1)
    mean = float(above.sum() / below.sum())
    low, high = intervals.score_interval(mean, resampling.variance(draws), len(np.unique(group[below > 0])))
    return Figure(mean * scale, NAN, low * scale, high * scale)


def too_small(goal: Goal, on_dev: dict[str, Figure]) -> bool:
    """Whether dev leaves what a goal relies on open by more than MARGIN to either side, or knows no interval of it."""
    figures = [on_dev[name] for name in RELIES_ON[goal.kind]]
    return not all(each.high - each.low <= 2 * MARGIN for each in figures)
