"""Does fusion help? Each fusion against the better single modality, and what may be said of it in one sentence."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments import stats
from experiments.layout import bare, signed
from experiments.records import Comparison, Pair, Row, SplitSize
from experiments.scoring import MEAN_ACCURACY, Scores

SINGLE, FUSION = ("text", "image"), ("early", "late")
MEASURES = {"auc_roc": "AUC-ROC", "accuracy": "accuracy"}
LEVEL = 0.05  # of false alarms, among all pairs shown

Draws = dict[str, dict[str, stats.Draws]]  # by head and metric


def better_single(dev: Sequence[Row]) -> str | None:
    """The single modality with the higher AUC-ROC on dev; test has no say in it."""
    single = [row for row in dev if row.kind == "head" and row.name in SINGLE]
    return max(single, key=lambda row: row.metrics["auc_roc"].mean).name if single else None


def pairs(single: str, scores: dict[str, Scores], group: np.ndarray, draws: Draws) -> list[Pair]:
    """Every fusion against `single` on one split, by AUC-ROC and by accuracy; p-values not yet corrected."""
    found = []
    for fusion in FUSION:
        if fusion in scores:
            found += [
                by_auc_roc(scores[fusion], scores[single], group, draws),
                by_accuracy(scores[fusion], scores[single], draws),
            ]
    return found


def by_auc_roc(fusion: Scores, single: Scores, group: np.ndarray, draws: Draws) -> Pair:
    """Means over runs of both, DeLong's test for groups, and the interval of the difference over resampled groups."""
    a, b = (scores.logit.double().numpy() for scores in (fusion, single))
    test = stats.delong(a, b, fusion.positive, group)
    low, high = stats.interval(draws[fusion.name]["auc_roc"] - draws[single.name]["auc_roc"])
    of_single = float(np.mean([stats.placements(run, single.positive)[0].mean() for run in b]))
    of_fusion = of_single + test.difference
    return Pair(fusion.split, fusion.name, single.name, "auc_roc", of_fusion, of_single, low, high, test.p, test.p)


def by_accuracy(fusion: Scores, single: Scores, draws: Draws) -> Pair:
    """Accuracy of the runs' mean probability: McNemar's test needs one answer to each meme."""
    right_a, right_b = fusion.right, single.right
    test = stats.mcnemar(right_a, right_b)
    low, high = stats.interval(draws[fusion.name][MEAN_ACCURACY] - draws[single.name][MEAN_ACCURACY])
    return Pair(
        fusion.split, fusion.name, single.name, "accuracy", float(right_a.mean()), float(right_b.mean()), low, high,
        test.p, test.p, test.only_a, test.only_b,
    )  # fmt: skip


def corrected(found: Sequence[Pair]) -> list[Pair]:
    """Holm's correction among all pairs, of both measures and all splits.

    Every row of the table says whether it shows a gain, and a reader may quote any of them: they are one family.
    """
    adjusted = stats.holm(np.array([pair.p for pair in found]))
    return [replace(pair, p_holm=float(p)) for pair, p in zip(found, adjusted, strict=True)]


def conclusion(pair: Pair) -> str:
    """What a pair shows. A gain or a loss needs both the corrected test and the interval to say so."""
    if not np.isfinite(pair.p_holm):
        return "no test possible"
    outside = pair.low > 0 or pair.high < 0
    direction = "a gain" if pair.difference > 0 else "a loss"
    if pair.p_holm < LEVEL and outside:
        return direction
    if pair.p_holm < LEVEL or outside:
        return f"no firm evidence of {direction}"
    return "no evidence of a gain"


def verdict(pair: Pair) -> str:
    """One sentence on a fusion's AUC-ROC."""
    p = f"p {'<' if pair.p_holm < 0.001 else '='} {bare(max(pair.p_holm, 0.001))}"
    return (
        f"{pair.fusion} vs {pair.single} (the better single modality on dev): {pair.split} AUC-ROC "
        f"{bare(pair.of_fusion)} vs {bare(pair.of_single)}, {signed(pair.difference)} "
        f"[{signed(pair.low)}, {signed(pair.high)}], {p} (Holm): {conclusion(pair)}."
    )


def verdicts(comparison: Comparison) -> list[str]:
    """A sentence per fusion and judged split, or why there is none; and what the splits' size allows to see."""
    said = [verdict(pair) for pair in comparison.pairs if pair.measure == "auc_roc"]
    if comparison.judged and not said:
        said = ["No fusion is judged: that takes early or late, and text or image to compare with."]
    sizes = {size.name: size for size in comparison.splits}
    for split in comparison.judged:
        heads = [row for row in comparison.rows if row.split == split and row.kind == "head"]
        said += [precision(sizes[split], heads)] if heads else []
    return said


def precision(size: SplitSize, heads: Sequence[Row]) -> str:
    """How far an AUC-ROC on so many memes can be trusted: half the interval of the best head."""
    figures = [row.metrics["auc_roc"] for row in heads if np.isfinite(row.metrics["auc_roc"].high)]
    if not figures:
        return f"{size.labelled:,} memes in {size.name} are too few for an interval."
    best = max(figures, key=lambda figure: figure.mean)
    texts = f" ({size.texts:,} distinct texts)" if size.texts < size.labelled else ""
    return (
        f"With {size.labelled:,} memes{texts} in {size.name}, an AUC-ROC of {bare(best.mean)} is good to "
        f"±{bare((best.high - best.low) / 2)}."
    )
