"""What the figures say, in sentences that are made from them and claim no more than they carry.

Every function returns sentences, and none where there is nothing to say. "The chosen head" is the one with the highest
AUC-ROC on dev: test has no say in it.
"""

import math
from collections.abc import Callable

import numpy as np

from experiments.findings import Findings
from experiments.judging import FUSION, LEVEL, SINGLE, conclusion
from experiments.layout import bare, interval, signed
from experiments.pages import curves
from experiments.pages.document import Bullets, Paragraph, Section
from experiments.records import Figure, Pair, Slice

LINEAR = "LR both"  # the reference that sees what early fusion sees
NOTABLE = 0.02  # AUC-ROC, or share of memes: differences below it are not worth a sentence
SMALL_SLICE = 30  # memes


def section(findings: Findings) -> Section:
    parts: list[tuple[str, Callable[[Findings], list[str]]]] = [
        ("Which modality carries the signal?", modality),
        ("Does fusion gain, and how sure is that?", fusion),
        ("How far can the figures be trusted?", trust),
        ("Are the probabilities right?", probabilities),
        ("Where does it fail?", failures),
    ]
    said = [(title, tell(findings)) for title, tell in parts]
    told = [Section(title, f"discussion-{number}", [Bullets(text)]) for number, (title, text) in enumerate(said, 1) if text]
    opening = Paragraph(
        "Written from the figures by fixed rules. A claim needs an interval, or a corrected test and an interval, behind it."
    )
    return Section("Discussion", "discussion", [opening], told)


def auc(findings: Findings, head: str, split: str | None = None) -> Figure:
    """AUC-ROC on a split, the judged one unless another is named; undefined for a head that is not there."""
    row = findings.rows(split or findings.judged).get(head)
    return row.metrics["auc_roc"] if row else Figure(math.nan)


def with_interval(figure: Figure) -> str:
    return f"{bare(figure.mean)} {interval(figure)}".rstrip()


def above_chance(figure: Figure) -> bool:
    return figure.low > 0.5


def chosen(findings: Findings) -> str:
    """The head with the highest AUC-ROC on dev."""
    dev = next(split for split in findings.predicted if split.startswith("dev"))
    return max(findings.heads, key=lambda head: auc(findings, head, dev).mean)


def modality(findings: Findings) -> list[str]:
    """Text against image, and both against chance."""
    split = findings.judged
    there = [head for head in SINGLE if head in findings.heads and not math.isnan(auc(findings, head).mean)]
    if not there:
        return []
    figures = {head: auc(findings, head) for head in there}
    said = [", ".join(f"{head} alone reaches {with_interval(figure)}" for head, figure in figures.items())]
    said = [f"On {split}, {said[0]} AUC-ROC."]
    blind = [head for head in there if not above_chance(figures[head])]
    if blind:
        said.append(f"No evidence that {' or '.join(blind)} alone does better than chance: .500 is not below its interval.")
    if len(there) == 2:
        said.append(combination(findings) if len(blind) == 2 else stronger(figures, findings.size(split).labelled))
    return [sentence for sentence in said if sentence]


def stronger(figures: dict[str, Figure], memes: int) -> str:
    best, other = sorted(figures, key=lambda head: -figures[head].mean)
    gap = figures[best].mean - figures[other].mean
    if figures[best].low > figures[other].high:
        return f"{best.capitalize()} carries more of the signal than {other}: their intervals lie apart."
    return (
        f"{best.capitalize()} is ahead of {other} by {bare(gap)}, but their intervals overlap: with {memes:,} memes this "
        "is a tendency, not a finding."
    )


def combination(findings: Findings) -> str:
    """Neither side alone knows anything; does a fusion?"""
    solved = [head for head in FUSION if head in findings.heads and above_chance(auc(findings, head))]
    if solved == ["early"]:
        return (
            f"Early fusion reaches {with_interval(auc(findings, 'early'))} all the same: the signal is in the combination "
            "of text and image, which adding two opinions (late fusion) cannot express."
        )
    if solved:
        both = " and ".join(f"{head} {with_interval(auc(findings, head))}" for head in solved)
        return f"Fusion does better than chance all the same ({both}): the signal is in the combination of text and image."
    return "No head finds a signal in these vectors."


def fusion(findings: Findings) -> list[str]:
    """Each fusion against the better single modality; fusions against each other; against a linear model."""
    pairs = [pair for pair in findings.comparison.pairs if pair.measure == "auc_roc"]
    said = [gain(pair) for pair in pairs]
    first = [pair for pair in pairs if pair.split == findings.judged and math.isfinite(pair.low)]
    if first:
        half = float(np.mean([(pair.high - pair.low) / 2 for pair in first]))
        memes = findings.size(findings.judged).labelled
        said.append(
            f"With {memes:,} memes in {findings.judged}, differences below about {bare(half)} cannot be told from luck; to "
            f"halve that takes four times as many memes ({4 * memes:,})."
        )
    early, late, linear = (auc(findings, head).mean for head in ("early", "late", LINEAR))
    if abs(early - late) < NOTABLE:
        said.append(f"Early and late fusion hardly differ ({bare(early)} and {bare(late)}).")
    elif not math.isnan(early - late):
        ahead = "Early" if early > late else "Late"
        said.append(f"{ahead} fusion is ahead of the other by {bare(abs(early - late))} AUC-ROC (not tested).")
    if not math.isnan(early - linear):
        verb = "adds nothing to speak of" if abs(early - linear) < NOTABLE else f"changes {signed(early - linear)}"
        said.append(
            f"A logistic regression on both vectors scores {bare(linear)}: early fusion's hidden layer {verb}"
            f"{', nothing here calls for more than a linear model' if abs(early - linear) < NOTABLE else ''}."
        )
    return said


def gain(pair: Pair) -> str:
    """What a pair shows, with the other half of the truth."""
    start = (
        f"{pair.fusion.capitalize()} against {pair.single} on {pair.split}: {signed(pair.difference)} "
        f"[{signed(pair.low)}, {signed(pair.high)}], corrected p {bare(pair.p_holm)}: {conclusion(pair)}."
    )
    if not math.isfinite(pair.p_holm) or not math.isfinite(pair.low):
        return start
    if pair.p_holm < LEVEL and pair.low > 0:
        return f"{start} The true gain may be as small as {bare(pair.low)} or as large as {bare(pair.high)}."
    if pair.low < 0 < pair.high:
        return (
            f"{start} These memes are in keeping with anything from a loss of {bare(-pair.low)} to a gain of "
            f"{bare(pair.high)}: that no gain is shown does not show that there is none."
        )
    return start


def trust(findings: Findings) -> list[str]:
    """Seeds against memes, dev against test."""
    split, head = findings.judged, chosen(findings)
    figure = auc(findings, head)
    half = (figure.high - figure.low) / 2
    said = [f"Dev would choose {head}; on {split} it reaches {with_interval(figure)} AUC-ROC."]
    if math.isnan(figure.sd):
        said.append("With one seed, nothing is known of how much luck is in training; more seeds cost seconds.")
    elif math.isfinite(half) and figure.sd < half / 2:
        said.append(
            f"Another seed moves it by some {bare(figure.sd)}, other memes by up to {bare(half)}: more memes would tell more, "
            "more seeds would not."
        )
    elif math.isfinite(half):
        said.append(f"Seeds (standard deviation {bare(figure.sd)}) matter as much as memes (±{bare(half)}): use more seeds.")
    dev = next(name for name in findings.predicted if name.startswith("dev"))
    on_dev = auc(findings, head, dev).mean
    if dev != split and math.isfinite(figure.low):
        if on_dev > figure.high:
            said.append(f"On {dev} it had {bare(on_dev)}, above {split}'s interval: dev flattered, or the splits differ.")
        elif on_dev < figure.low:
            said.append(f"On {dev} it had {bare(on_dev)}, below {split}'s interval: the splits differ.")
    elif dev == split:
        said.append(f"{dev} chose the epochs: no split here gives an untouched figure.")
    return said


def probabilities(findings: Findings) -> list[str]:
    """Calibration and thresholds of the chosen head."""
    split, head = findings.judged, chosen(findings)
    row, size = findings.rows(split)[head], findings.size(split)
    found = findings.predicted[split]
    mean, share = found.opinions[head].probability[found.labelled].mean(), size.positive / size.labelled
    said = [f"{head.capitalize()}'s expected calibration error on {split} is {bare(row.metrics['ece'].mean)}."]
    if abs(mean - share) >= NOTABLE:
        direction = "too low" if mean < share else "too high"
        said.append(
            f"Its probabilities are {direction} on the whole: {mean:.2f} on average, where {share:.2f} of memes have label 1."
        )
    at_half, tuned = row.metrics["macro_f1"].mean, row.tuned["macro_f1"].mean
    if not math.isnan(tuned - at_half):
        moved = f"from {bare(at_half)} to {bare(tuned)}"
        verdict = f"moves macro-F1 {moved}" if abs(tuned - at_half) >= NOTABLE else f"hardly changes macro-F1 ({moved})"
        said.append(f"Dev's threshold ({row.threshold:.2f} on average) {verdict}.")
    return said


def failures(findings: Findings) -> list[str]:
    """What kind of errors, on which memes."""
    split, head = findings.judged, chosen(findings)
    size, found = findings.size(split), findings.predicted[split]
    counts = curves.confusion(findings.runs, head, size, tuned=False)
    missed, alarms = 1 - counts.true_positive_rate, counts.false_positive_rate
    said = []
    if not math.isnan(missed + alarms):
        said.append(
            f"At 0.5, {head} misses {missed:.0%} of the memes of label 1 and raises a false alarm on {alarms:.0%} of the others."
        )
    if len(findings.heads) > 1:
        right = np.array([found.right(name)[found.labelled] for name in findings.heads])
        none, all_of = (~right.any(axis=0)).mean(), right.all(axis=0).mean()
        said.append(
            f"All heads are right on {all_of:.0%} of {split}'s memes and none on {none:.0%}: no vote among these "
            "heads reaches the latter."
        )
    weak = [piece for piece in findings.comparison.slices if piece.split == split and piece.memes >= SMALL_SLICE]
    return said + weakest(weak, head, auc(findings, head))


def weakest(found: list[Slice], head: str, whole: Figure) -> list[str]:
    """The slice with the lowest AUC-ROC, if it lies notably below the whole split's."""
    scored = [piece for piece in found if not math.isnan(piece.auc_roc[head].mean)]
    if not scored:
        return []
    worst = min(scored, key=lambda piece: piece.auc_roc[head].mean)
    figure = worst.auc_roc[head]
    if not figure.mean < whole.mean - NOTABLE:
        return []
    sure = "below" if figure.high < whole.mean else "below, though within its own interval of,"
    return [
        f"Of slices with {SMALL_SLICE} memes or more it does worst on memes with '{worst.name}' ({worst.memes:,}): "
        f"{with_interval(figure)}, {sure} the {bare(whole.mean)} of all."
    ]
