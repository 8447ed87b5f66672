"""What the figures say, in sentences that are made from them and claim no more than they carry.

Every function returns sentences, and none where there is nothing to say.
"""

import math
from collections.abc import Callable

import numpy as np

from experiments.evaluate.tests import FUSION, LEVEL, SINGLE, conclusion
from experiments.pages import cautions
from experiments.pages.cautions import NOTABLE
from experiments.pages.document import Bullets, Paragraph, Section
from experiments.results.reading import Findings
from experiments.results.records import Figure, Pair
from experiments.tables import bare, difference, interval, probability


def section(findings: Findings) -> Section:
    parts: list[tuple[str, Callable[[Findings], list[str]]]] = [
        ("Which modality carries the signal?", modality),
        ("Does fusion gain, and how sure is that?", fusion),
        ("How far can the figures be trusted?", cautions.trust),
        ("Are the probabilities right?", cautions.probabilities),
        ("Where does it fail?", cautions.failures),
    ]
    said = [(title, tell(findings)) for title, tell in parts]
    told = [
        Section(title, f"discussion-{number}", [Bullets(text)]) for number, (title, text) in enumerate(said, 1) if text
    ]
    opening = Paragraph("Written from the figures by fixed rules, which ask for intervals and corrected tests.")
    return Section("Discussion", "discussion", [opening], told)


def above_chance(figure: Figure) -> bool:
    return figure.low > 0.5


def modality(findings: Findings) -> list[str]:
    """Text against image, and both against chance."""
    split = findings.judged
    figures = {head: findings.auc(head, split) for head in SINGLE if head in findings.heads}
    figures = {head: figure for head, figure in figures.items() if not math.isnan(figure.mean)}
    if not figures:
        return []
    reached = " and ".join(
        f"{bare(figure.mean)} {interval(figure)} for {head} alone" for head, figure in figures.items()
    )
    said = [f"On {split}, AUC-ROC is {reached}."]
    blind = [head for head, figure in figures.items() if not above_chance(figure)]
    if blind:
        said.append(f"No evidence that {' or '.join(blind)} alone does better than chance.")
    if len(figures) == 2:
        said.append(combination(findings) if len(blind) == 2 else stronger(figures, findings.size(split).labelled))
    return said


def stronger(figures: dict[str, Figure], memes: int) -> str:
    best, other = sorted(figures, key=lambda head: -figures[head].mean)
    if figures[best].low > figures[other].high:
        return f"{best.capitalize()} carries more of the signal than {other}: their intervals lie apart."
    gap = figures[best].mean - figures[other].mean
    return (
        f"{best.capitalize()} is ahead of {other} by {bare(gap)}, but their intervals overlap: with {memes:,} memes "
        "this is a tendency rather than a finding."
    )


def combination(findings: Findings) -> str:
    """Neither side alone knows anything; does a fusion?"""
    figures = {head: findings.auc(head, findings.judged) for head in FUSION if head in findings.heads}
    solved = {head: figure for head, figure in figures.items() if above_chance(figure)}
    if not solved:
        return "No head finds a signal in these vectors."
    reached = " and ".join(f"{head} fusion reaches {bare(figure.mean)}" for head, figure in solved.items())
    adding = ", which adding two opinions (late fusion) cannot express" if "late" in figures.keys() - solved else ""
    return f"Yet {reached}: the signal is in the combination of text and image{adding}."


def fusion(findings: Findings) -> list[str]:
    """Each fusion against the better single modality, fusions against each other, heads against linear models."""
    pairs = findings.comparison.pairs
    said = [gain(pair) for pair in pairs if pair.measure == "auc_roc"]
    said += [answers(pair) for pair in pairs if pair.measure == "accuracy"]
    return said + resolution(findings) + among(findings) + layers(findings)


def gain(pair: Pair) -> str:
    """What a pair shows by AUC-ROC, with the other half of the truth."""
    start = (
        f"{pair.head.capitalize()} against {pair.against} on {pair.split}: {difference(pair)}, "
        f"corrected p {probability(pair.p_holm)}: {conclusion(pair)}."
    )
    if pair.p_holm < LEVEL and pair.low > 0:
        return f"{start} The true gain may be as small as {bare(pair.low)} or as large as {bare(pair.high)}."
    if pair.low < 0 < pair.high:
        return (
            f"{start} These memes are in keeping with anything from a loss of {bare(-pair.low)} to a gain of "
            f"{bare(pair.high)}: that no gain is shown does not show that there is none."
        )
    return start


def answers(pair: Pair) -> str:
    """A pair by accuracy: which answers changed."""
    return (
        f"By accuracy at 0.5 on {pair.split}, {pair.head} gets {pair.only_head:,} memes right that {pair.against} "
        f"does not, and loses {pair.only_against:,}: {difference(pair)}, "
        f"corrected p {probability(pair.p_holm)}: {conclusion(pair)}."
    )


def resolution(findings: Findings) -> list[str]:
    """The smallest difference that so many memes can show."""
    split = findings.judged
    halves = [
        (pair.high - pair.low) / 2
        for pair in findings.comparison.pairs
        if (pair.measure, pair.split) == ("auc_roc", split) and math.isfinite(pair.high - pair.low)
    ]
    if not halves:
        return []
    memes = findings.size(split).labelled
    return [
        f"With {memes:,} memes in {split}, differences of AUC-ROC below about {bare(float(np.mean(halves)))} can "
        f"hardly be told from luck; to halve that takes four times as many memes ({4 * memes:,})."
    ]


def among(findings: Findings) -> list[str]:
    """Early against late fusion, which is not tested."""
    early, late = (findings.auc(head, findings.judged).mean for head in ("early", "late"))
    said = []
    if abs(early - late) < NOTABLE:
        said.append(f"Early and late fusion hardly differ ({bare(early)} and {bare(late)}).")
    elif not math.isnan(early - late):
        ahead, behind = ("Early", "late") if early > late else ("Late", "early")
        said.append(f"{ahead} fusion is ahead of {behind} fusion by {bare(abs(early - late))} AUC-ROC (not tested).")
    return said


def layers(findings: Findings) -> list[str]:
    """What hidden layers are worth: each head against a logistic regression on what it sees."""
    found = [pair for pair in findings.comparison.linear if pair.split == findings.judged]
    shown = [pair for pair in found if conclusion(pair) in ("a gain", "a loss")]
    said = [
        f"{pair.head.capitalize()} against a logistic regression on what it sees ({pair.against}): "
        f"{difference(pair)}, corrected p {probability(pair.p_holm)}: {conclusion(pair)}."
        for pair in shown
    ]
    rest = ", ".join(f"{pair.head} {difference(pair)}" for pair in found if pair not in shown)
    if rest:
        said.append(
            f"No firm evidence that a hidden layer does more than a logistic regression on what it sees: {rest}."
        )
    return said
