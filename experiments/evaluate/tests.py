"""Does fusion help, and does a hidden layer? Heads in pairs on the same memes, and what may be said in one sentence."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments.evaluate import statistics
from experiments.evaluate.scores import MEAN_ACCURACY, Scores
from experiments.results.records import Comparison, Pair, Row, SplitSize
from experiments.tables import bare, difference, signed

SINGLE, FUSION = ("text", "image"), ("early", "late")
LINEAR = {  # of each head, the logistic regressions on the vectors that it sees
    "text": ("LR text",),
    "image": ("LR image",),
    "early": ("LR both", "LR balanced"),
    "late": ("LR both", "LR balanced"),
}
MEASURES = {"auc_roc": "AUC-ROC", "accuracy": "accuracy"}
LEVEL = 0.05  # of false alarms, among all pairs shown

Draws = dict[str, dict[str, statistics.Draws]]  # by head and metric


def better_single(dev: Sequence[Row]) -> str | None:
    """The single modality with the higher AUC-ROC on dev; test has no say in it."""
    return highest([row for row in dev if row.kind == "head"], SINGLE)


def highest(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    """Of those named, the one with the highest AUC-ROC; None if there is none of them."""
    named = [row for row in rows if row.name in names]
    return max(named, key=lambda row: row.metrics["auc_roc"].mean).name if named else None


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


def linear_pairs(dev: Sequence[Row], scores: dict[str, Scores], group: np.ndarray, draws: Draws) -> list[Pair]:
    """Every head against the logistic regression on what it sees that is best on dev, by AUC-ROC; not yet corrected."""
    found = []
    for head, regressions in LINEAR.items():
        against = highest(dev, regressions)
        if head in scores and against:
            found.append(by_auc_roc(scores[head], scores[against], group, draws))
    return found


def by_auc_roc(head: Scores, against: Scores, group: np.ndarray, draws: Draws) -> Pair:
    """Means over runs of both, DeLong's test for groups, and the interval of the difference over resampled groups."""
    a, b = (scores.logit.double().numpy() for scores in (head, against))
    test = statistics.delong(a, b, head.positive, group)
    low, high = statistics.interval(draws[head.name]["auc_roc"] - draws[against.name]["auc_roc"])
    of_against = float(np.mean([statistics.placements(run, against.positive)[0].mean() for run in b]))
    of_head = of_against + test.difference
    return Pair(head.split, head.name, against.name, "auc_roc", of_head, of_against, low, high, test.p, test.p)


def by_accuracy(head: Scores, against: Scores, draws: Draws) -> Pair:
    """Accuracy of the runs' mean probability: McNemar's test needs one answer to each meme."""
    right_a, right_b = head.right, against.right
    test = statistics.mcnemar(right_a, right_b)
    low, high = statistics.interval(draws[head.name][MEAN_ACCURACY] - draws[against.name][MEAN_ACCURACY])
    return Pair(
        head.split, head.name, against.name, "accuracy", float(right_a.mean()), float(right_b.mean()), low, high,
        test.p, test.p, test.only_a, test.only_b,
    )  # fmt: skip


def corrected(found: Sequence[Pair]) -> list[Pair]:
    """Holm's correction among all pairs, of both measures and all splits.

    Every row of the table says whether it shows a gain, and a reader may quote any of them: they are one family.
    """
    adjusted = statistics.holm(np.array([pair.p for pair in found]))
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
        f"{pair.head} vs {pair.against} (the better single modality on dev): {pair.split} AUC-ROC "
        f"{bare(pair.of_head)} vs {bare(pair.of_against)}, {difference(pair)}, {p} (Holm): {conclusion(pair)}."
    )


def verdicts(comparison: Comparison) -> list[str]:
    """A sentence per fusion and judged split, or why there is none; then, per judged split, one on all heads against
    regressions and one on what its size allows to see."""
    said = [verdict(pair) for pair in comparison.pairs if pair.measure == "auc_roc"]
    if comparison.judged and not said:
        said = ["No fusion is judged: that takes early or late, and text or image to compare with."]
    sizes = {size.name: size for size in comparison.splits}
    for split in comparison.judged:
        heads = [row for row in comparison.rows if row.split == split and row.kind == "head"]
        said += against_linear([pair for pair in comparison.linear if pair.split == split])
        said += [precision(sizes[split], heads)] if heads else []
    return said


def against_linear(found: Sequence[Pair]) -> list[str]:
    """What the heads' hidden layers are worth on one split, in one sentence; none without a pair."""
    if not found:
        return []
    shown: dict[str, list[str]] = {}
    for pair in found:
        shown.setdefault(conclusion(pair), []).append(pair.head)
    differences = ", ".join(f"{pair.head} {signed(pair.difference)}" for pair in found)
    if len(shown) == 1:
        concluded = conclusion(found[0])
    else:
        concluded = "; ".join(f"{what} for {', '.join(heads)}" for what, heads in shown.items())
    return [f"Heads vs logistic regression on the same vectors: {found[0].split} AUC-ROC {differences}: {concluded}."]


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
