"""Does fusion help, and does a hidden layer? Heads in pairs on the same memes, and what each pair shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.special import stdtrit

from experiments.evaluate import delong, intervals, resampling
from experiments.evaluate.scores import MEAN_ACCURACY, Scores
from experiments.results.records import NAN, Pair, Row
from heads.metrics import auc_roc
from heads.models import HEADS, fusions, singles

LEVEL = 0.05  # of false alarms, among all pairs shown
POWER = 0.8
MOST = 1e4  # times as many memes as there are: no more are looked for

Draws = dict[str, dict[str, resampling.Draws]]  # by head and metric


@dataclass(frozen=True)
class Discordant:
    """Memes that exactly one of two heads gets right."""

    only_a: int
    only_b: int
    p: float  # two-sided, exact


def better_single(dev: Sequence[Row]) -> str | None:
    """Return the single modality with the higher AUC-ROC on dev; test has no say in it."""
    return highest([row for row in dev if row.kind == "head"], singles())


def highest(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    """Return the one of those named with the highest AUC-ROC, an undefined one the last; None if there is none."""
    areas = {row.name: row.metrics["auc_roc"].mean for row in rows if row.name in names}
    return max(areas, key=lambda name: np.nan_to_num(areas[name], nan=-1.0)) if areas else None


def fusion_pairs(single: str, scores: dict[str, Scores], group: np.ndarray, draws: Draws) -> list[Pair]:
    """Set every fusion against `single` on one split, by AUC-ROC and by accuracy; p-values not yet corrected."""
    both = [(scores[fusion], scores[single]) for fusion in fusions() if fusion in scores]
    return [pair for each in both for pair in (by_auc_roc(*each, group), by_accuracy(*each, group, draws))]


def other_pairs(single: str | None, scores: dict[str, Scores], group: np.ndarray) -> list[Pair]:
    """Set every two heads against each other by AUC-ROC, but for fusions against `single`; not yet corrected."""
    heads = [name for name in (*fusions(), *singles()) if name in scores]
    pairs = [(one, other) for one, other in combinations(heads, 2) if other != single or one in singles()]
    return [by_auc_roc(scores[one], scores[other], group) for one, other in pairs]


def ensemble_pairs(dev: Sequence[Row], scores: dict[str, Scores], group: np.ndarray) -> list[Pair]:
    """Set an ensemble against the head that is best on dev, by AUC-ROC; not yet corrected."""
    best = highest([row for row in dev if row.kind == "head"], list(HEADS))
    return [by_auc_roc(each, scores[best], group) for each in scores.values() if each.kind == "ensemble" and best]


def linear_pairs(dev: Sequence[Row], scores: dict[str, Scores], group: np.ndarray) -> list[Pair]:
    """Set every head against the regression on what it sees that is best on dev, by AUC-ROC; not yet corrected."""
    against = {name: highest(dev, head.linear) for name, head in HEADS.items() if name in scores}
    return [by_auc_roc(scores[name], scores[other], group) for name, other in against.items() if other]


def by_auc_roc(head: Scores, against: Scores, group: np.ndarray) -> Pair:
    """Compare means over runs by DeLong's test for groups and seeds, and its interval."""
    a, b = (scores.logit.double().numpy() for scores in (head, against))
    test = delong.delong(a, b, head.positive, group)
    of_against = float(auc_roc(against.logit, torch.from_numpy(against.label.astype(np.int64))).mean())
    of_head = of_against + test.difference
    seen, memes_needed = power(test.difference, test.of_memes, len(group), test.of_seeds, test.freedom)
    return Pair(
        head.split, head.name, against.name, "auc_roc", of_head, of_against, test.low, test.high, test.p, test.p,
        detectable=seen if seen <= 1 else NAN, undetectable=seen > 1, memes_needed=memes_needed,
    )  # fmt: skip


def by_accuracy(head: Scores, against: Scores, group: np.ndarray, draws: Draws) -> Pair:
    """Compare accuracy of the runs' mean probability: McNemar's test needs one answer to each meme.

    Where each group of memes says the same of the two, as resamples then do, the interval joins those of either.
    """
    right_a, right_b = head.right, against.right
    test = mcnemar(right_a, right_b, group)
    few = resampling.few(group[head.positive], group[~head.positive])
    differences = np.where(few, NAN, draws[head.name][MEAN_ACCURACY] - draws[against.name][MEAN_ACCURACY])
    (low, high), variance = resampling.interval(differences), resampling.variance(differences)
    means = of_head, of_against = float(right_a.mean()), float(right_b.mean())
    if variance < intervals.ROUNDING and test.only_a + test.only_b:  # draws are float32
        one, other = ((mean, *intervals.score_interval(mean, 0.0, len(np.unique(group)))) for mean in means)
        (low, high), variance = intervals.joined(one, other), NAN
    p = NAN if few else test.p
    seen, memes_needed = power(of_head - of_against, variance, len(right_a))
    return Pair(
        head.split, head.name, against.name, "accuracy", of_head, of_against, low, high, p, p,
        test.only_a, test.only_b, detectable=seen if seen <= 1 else NAN, undetectable=seen > 1,
        memes_needed=memes_needed,
    )  # fmt: skip


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


def power(
    difference: float,
    of_memes: float,
    memes: int,
    of_seeds: Sequence[float] = (0.0, 0.0),
    freedom: Sequence[int] = (1, 1),
) -> tuple[float, float]:
    """Return the difference that one two-sided test at LEVEL shows with POWER, and how many memes `difference` takes.

    of_memes: the paired difference's variance over groups of memes, which falls as 1 / memes as long as they come in
    such groups. of_seeds: that over seeds of either mean, which more memes leave as it is; freedom: theirs.
    The test rejects where |D| > t(1 - LEVEL / 2) s, s^2 = of_memes + of_seeds. Where the true difference is d, D lies
    about d by s times Student's t, and so above that limit with POWER where d = (t(1 - LEVEL / 2) + t(POWER)) s (Cohen
    1988); the other tail counts for nothing. NaN where nothing varies, or no number of memes up to MOST times as many
    would do.
    """

    def detectable(times: float) -> float:
        variance = of_memes / times + sum(of_seeds)
        degrees = delong.degrees(variance, of_seeds, freedom)
        return float((stdtrit(degrees, 1 - LEVEL / 2) + stdtrit(degrees, POWER)) * np.sqrt(variance))

    if not of_memes > 0:
        return NAN, NAN
    if detectable(MOST) > abs(difference):
        return detectable(1.0), NAN
    if detectable(1 / MOST**2) <= abs(difference):  # the memes' variance is rounding: a perfect head against a constant
        return detectable(1.0), 1.0
    return detectable(1.0), memes * brentq(lambda times: detectable(times) - abs(difference), 1 / MOST**2, MOST)


def corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Apply Holm's correction among all pairs, of both measures and all splits, and conclude.

    Every row of the table says whether it shows a gain, and a reader may quote any of them: they are one family.
    """
    return [replace(pair, conclusion=conclude(pair)) for pair in with_holm(pairs)]


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


def conclude(pair: Pair) -> str:
    """Return what a pair shows, one of records.CONCLUSIONS; the corrected test and the interval must both say so."""
    if not np.isfinite(pair.p_holm):
        return "too few"
    outside = pair.low > 0 or pair.high < 0
    direction = "gain" if pair.difference > 0 else "loss"
    if pair.p_holm < LEVEL and outside:
        return direction
    return f"unconfirmed {direction}" if pair.p_holm < LEVEL or outside else "none"
