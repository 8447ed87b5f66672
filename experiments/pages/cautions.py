"""Sentences about how far the figures reach: luck, calibration, and where the head that dev chose fails."""

import math

import numpy as np

from experiments.pages import curves
from experiments.results.reading import Findings
from experiments.results.records import Figure, Slice
from experiments.tables import bare, interval

NOTABLE = 0.02  # AUC-ROC, or share of memes: differences below it are not worth a sentence
SMALL_SLICE = 30  # memes


def trust(findings: Findings) -> list[str]:
    """Seeds against memes, dev against test."""
    split, head = findings.judged, findings.chosen
    figure = findings.auc(head, split)
    said = [f"Dev would choose {head}; its AUC-ROC on {split} is {bare(figure.mean)} {interval(figure)}".rstrip() + "."]
    return said + luck(figure) + dev_against(findings, figure)


def luck(figure: Figure) -> list[str]:
    """Of training (the seed) against luck of the draw (the memes)."""
    half = (figure.high - figure.low) / 2
    if math.isnan(figure.sd):
        return ["With one seed, nothing is known of how much luck is in training; more seeds cost seconds."]
    if figure.sd < half / 2:
        return [
            f"Another seed moves it by some {bare(figure.sd)}, other memes by up to {bare(half)}: more memes would "
            "tell more, more seeds would not."
        ]
    if math.isfinite(half):
        return [f"Seeds (standard deviation {bare(figure.sd)}) weigh as much as memes (±{bare(half)}): use more seeds."]
    return []


def dev_against(findings: Findings, figure: Figure) -> list[str]:
    """Does dev's figure lie outside the judged split's interval?"""
    split, dev = findings.judged, findings.dev
    if dev == split:
        return [f"{dev} chose the epochs: no split here gives an untouched figure."]
    on_dev = findings.auc(findings.chosen, dev).mean
    if on_dev > figure.high:
        return [f"On {dev} it had {bare(on_dev)}, above {split}'s interval: dev flattered, or the splits differ."]
    if on_dev < figure.low:
        return [f"On {dev} it had {bare(on_dev)}, below {split}'s interval: the splits differ."]
    return []


def probabilities(findings: Findings) -> list[str]:
    """Calibration and thresholds of the chosen head."""
    split, head = findings.judged, findings.chosen
    row, size, found = findings.rows(split)[head], findings.size(split), findings.predicted[split]
    said = [f"{head.capitalize()}'s expected calibration error on {split} is {bare(row.metrics['ece'].mean)}."]
    mean, share = found.opinions[head].probability[found.labelled].mean(), size.positive / size.labelled
    if abs(mean - share) >= NOTABLE:
        direction = "too low" if mean < share else "too high"
        said.append(
            f"Its probabilities are {direction} on the whole: {bare(mean)} on average, where {bare(share)} of the "
            "memes have label 1."
        )
    at_half, tuned = row.metrics["macro_f1"].mean, row.tuned["macro_f1"].mean
    if not math.isnan(tuned - at_half):
        verb = "moves" if abs(tuned - at_half) >= NOTABLE else "hardly changes"
        said.append(
            f"Dev's threshold ({bare(row.threshold)} on average) {verb} macro-F1: {bare(at_half)} at 0.5, "
            f"{bare(tuned)} there."
        )
    return said


def failures(findings: Findings) -> list[str]:
    """What kind of errors, on which memes."""
    split, head = findings.judged, findings.chosen
    found = findings.predicted[split]
    counts = curves.confusion(findings.runs, head, findings.size(split), tuned=False)
    missed, alarms = 1 - counts.true_positive_rate, counts.false_positive_rate
    said = []
    if not math.isnan(missed + alarms):
        said.append(
            f"At 0.5, {head} misses {missed:.0%} of the memes of label 1 and raises a false alarm on {alarms:.0%} of "
            "the others."
        )
    if len(findings.heads) > 1:
        right = np.array([found.right(name)[found.labelled] for name in findings.heads])
        said.append(
            f"All heads are right on {right.all(axis=0).mean():.0%} of {split}'s memes, none on "
            f"{(~right.any(axis=0)).mean():.0%}: no vote among these heads reaches the latter."
        )
    pieces = [piece for piece in findings.comparison.slices if piece.split == split and piece.memes >= SMALL_SLICE]
    return said + weakest(pieces, head, findings.auc(head, split))


def weakest(found: list[Slice], head: str, whole: Figure) -> list[str]:
    """The slice with the lowest AUC-ROC, if it lies notably below the whole split's."""
    scored = {piece.name: piece for piece in found if not math.isnan(piece.auc_roc[head].mean)}
    if not scored:
        return []
    worst = min(scored.values(), key=lambda piece: piece.auc_roc[head].mean)
    figure = worst.auc_roc[head]
    if not figure.mean < whole.mean - NOTABLE:
        return []
    doubt = "" if figure.high < whole.mean else ", though the difference may be luck"
    return [
        f"Of the slices with {SMALL_SLICE} memes or more it does worst on '{worst.name}' ({worst.memes:,} memes): "
        f"{bare(figure.mean)} {interval(figure)} against {bare(whole.mean)} on all{doubt}."
    ]
