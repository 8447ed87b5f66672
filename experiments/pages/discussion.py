"""What the figures say, in sentences that are made from them and claim no more than they carry.

Every function returns sentences, and none where there is nothing to say.
"""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from experiments.evaluate import curves
from experiments.pages.document import Bullets, Paragraph, Section
from experiments.pages.fusion import fusions, single_heads
from experiments.results.folder import Results
from experiments.results.records import Figure, Pair, Slice
from experiments.words import bare, comparison, counted, difference, probability, with_interval
from experiments.words.comparison import carried, power, too_few, uses
from heads.models import HEADS

NOTABLE = 0.02  # AUC-ROC, or share of memes: differences below it are not worth a sentence
SMALL_SLICE = 30  # memes


def section(results: Results) -> Section:
    parts: dict[str, Callable[[Results], list[str]]] = {
        "Which modality carries the signal?": modality,
        "Does fusion gain, and how sure is that?": fusion,
        "How far can the figures be trusted?": trust,
        "Does it carry over?": lambda results: carried(results.comparison),
        "Are the probabilities right?": probabilities,
        "Where does it fail?": failures,
    }
    shown = [
        Section(title, f"discussion-{number}", [Bullets(sentences)])
        for number, (title, say) in enumerate(parts.items(), 1)
        if (sentences := say(results))
    ]
    opening = Paragraph("Written from the figures by fixed rules, which ask for intervals and corrected tests.")
    return Section("Discussion", "discussion", [opening], shown)


def above_chance(figure: Figure) -> bool:
    return figure.low > 0.5


def modality(results: Results) -> list[str]:
    """Text against image, and both against chance."""
    split = results.judged
    areas = {head: results.auc(head, split) for head in single_heads(results).values()}
    areas = {head: area for head, area in areas.items() if not math.isnan(area.low)}
    if not areas:
        return []
    reached = " and ".join(f"{with_interval(area)} for {head} alone" for head, area in areas.items())
    sentences = [f"On {split}, AUC-ROC is {reached}."]
    blind = [head for head, area in areas.items() if not above_chance(area)]
    if blind:
        sentences.append(f"No evidence that {' or '.join(blind)} alone does better than chance.")
    if len(areas) == 2:
        sentences.append(combination(results) if len(blind) == 2 else stronger(results, areas))
    return sentences + used(results)


def used(results: Results) -> list[str]:
    """Which sides each fusion uses, where compare was asked to take them away."""
    ablations = [each for each in results.comparison.ablations if each.split == results.judged]
    by_head = [[each for each in ablations if each.head == head] for head in fusions(results)]
    return [sentence for its in by_head if (sentence := uses(its))]


def stronger(results: Results, areas: dict[str, Figure]) -> str:
    """Which of two sides carries more of the signal?"""
    best, other = sorted(areas, key=lambda head: -areas[head].mean)
    pair = results.comparison.pair(best, other, results.judged)
    if pair is None:
        return f"{best.capitalize()} against {other} was not tested."
    start = f"{best.capitalize()} against {other}: {tested(pair)}"
    if pair.conclusion == "gain":
        return f"{start} {best.capitalize()} carries more of the signal."
    return f"{start} Which of them carries more of the signal is open. {power(pair)}".rstrip()


def combination(results: Results) -> str:
    """Neither side alone knows anything; does a fusion?"""
    areas = {head: results.auc(head, results.judged) for head in fusions(results)}
    solved = {head: area for head, area in areas.items() if above_chance(area)}
    if not solved:
        return "No head finds a signal in these vectors."
    reached = " and ".join(f"{head} fusion reaches {bare(area.mean)}" for head, area in solved.items())
    failed = [head for head in areas if head not in solved and HEADS[head].adds]
    adding = f", which adding two opinions ({' and '.join(failed)} fusion) cannot express" if failed else ""
    return f"Yet {reached}: the signal is in the combination of text and image{adding}."


def fusion(results: Results) -> list[str]:
    """Each fusion against the better single modality, fusions against each other, heads against linear models."""
    pairs = results.comparison.pairs
    sentences = [gain(pair) for pair in pairs if pair.measure == "auc_roc"]
    sentences += [answers(pair) for pair in pairs if pair.measure == "accuracy"]
    return sentences + resolution(results) + among(results) + layers(results)


def tested(pair: Pair) -> str:
    """A difference, its corrected test, and what they show."""
    return comparison.tested(pair, f"corrected p {probability(pair.p_holm)}")


def gain(pair: Pair) -> str:
    """What a pair shows by AUC-ROC, with the other half of the truth."""
    start = f"{pair.head.capitalize()} against {pair.against} on {pair.split}: {tested(pair)}"
    if pair.conclusion == "gain":
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
        f"By accuracy at 0.5 on {pair.split}, {pair.head} gets {counted(pair.only_head, 'meme')} right that "
        f"{pair.against} does not, and loses {pair.only_against:,}: {tested(pair)}"
    )


def resolution(results: Results) -> list[str]:
    """What differences so many memes can show, and how many memes those seen would take."""
    pairs = [pair for pair in results.comparison.pairs if (pair.measure, pair.split) == ("auc_roc", results.judged)]
    return [sentence for pair in pairs if (sentence := power(pair))]


def among(results: Results) -> list[str]:
    """Fusions against each other, the one that is ahead first."""
    pairs = [results.comparison.pair(*heads, results.judged) for heads in combinations(fusions(results), 2)]
    ahead = [pair.turned if pair.difference < 0 else pair for pair in pairs if pair]
    return [
        f"{pair.head.capitalize()} fusion against {pair.against} fusion: {tested(pair)} {power(pair)}".rstrip()
        for pair in ahead
    ]


def layers(results: Results) -> list[str]:
    """What hidden layers are worth: each head against a logistic regression on what it sees."""
    pairs = [pair for pair in results.comparison.linear if pair.split == results.judged]
    firm = [pair for pair in pairs if pair.conclusion in ("gain", "loss")]
    sentences = [
        f"{pair.head.capitalize()} against a logistic regression on what it sees ({pair.against}): {tested(pair)}"
        for pair in firm
    ]
    if rest := ", ".join(f"{pair.head} {difference(pair)}" for pair in pairs if pair not in firm):
        sentences.append(
            f"No firm evidence that a hidden layer does more than a logistic regression on what it sees: {rest}."
        )
    return sentences


def trust(results: Results) -> list[str]:
    """Seeds against memes, dev against test."""
    split, head = results.judged, results.best_on_dev
    area = results.auc(head, split)
    opening = f"Dev would choose {head}; its AUC-ROC on {split} is {with_interval(area)}."
    small = [too_few(results.size(split))] if math.isnan(area.low) else []
    return [opening, *small, *luck(area), *dev_against(results, area)]


def luck(figure: Figure) -> list[str]:
    """Luck of training (the seed) against luck of the draw (the memes)."""
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


def dev_against(results: Results, figure: Figure) -> list[str]:
    """Does dev's figure lie outside the judged split's interval?"""
    split, dev = results.judged, results.dev
    if dev == split:
        return [f"{dev} chose the epochs: no split here gives an untouched figure."]
    on_dev = results.auc(results.best_on_dev, dev).mean
    if on_dev > figure.high:
        return [f"On {dev} it had {bare(on_dev)}, above {split}'s interval: dev flattered, or the splits differ."]
    if on_dev < figure.low:
        return [f"On {dev} it had {bare(on_dev)}, below {split}'s interval: the splits differ."]
    return []


def probabilities(results: Results) -> list[str]:
    """Calibration and thresholds of the head that dev chose."""
    split, head = results.judged, results.best_on_dev
    row, size, predicted = results.rows(split)[head], results.size(split), results.predicted[split]
    sentences = [f"{head.capitalize()}'s expected calibration error on {split} is {bare(row.metrics['ece'].mean)}."]
    mean = predicted.heads[head].probability[predicted.labelled].mean()
    share = size.positive / size.labelled
    if abs(mean - share) >= NOTABLE:
        direction = "too low" if mean < share else "too high"
        sentences.append(
            f"Its probabilities are {direction} on the whole: {bare(mean)} on average, where {bare(share)} of the "
            "memes have label 1."
        )
    at_half, tuned = row.metrics["macro_f1"].mean, row.tuned["macro_f1"].mean
    if not math.isnan(tuned - at_half):
        verb = "moves" if abs(tuned - at_half) >= NOTABLE else "hardly changes"
        sentences.append(
            f"Dev's threshold ({bare(row.threshold)} on average) {verb} macro-F1: {bare(at_half)} at 0.5, "
            f"{bare(tuned)} there."
        )
    return sentences


def failures(results: Results) -> list[str]:
    """What kind of errors, on which memes."""
    split, head = results.judged, results.best_on_dev
    predicted = results.predicted[split]
    counts = curves.mean_counts(results.records, head, split, tuned=False)
    missed, alarms = 1 - curves.recall(counts), curves.false_positive_rate(counts)
    sentences = []
    if not math.isnan(missed + alarms):
        sentences.append(
            f"At 0.5, {head} misses {missed:.0%} of the memes of label 1 and raises a false alarm on {alarms:.0%} of "
            "the others."
        )
    if len(results.heads) > 1:
        right = np.array([predicted.right(name)[predicted.labelled] for name in results.heads])
        sentences.append(
            f"All heads are right on {right.all(axis=0).mean():.0%} of {split}'s memes, none on "
            f"{(~right.any(axis=0)).mean():.0%}: no vote among these heads reaches the latter."
        )
    pieces = [piece for piece in results.comparison.slices if piece.split == split and piece.memes >= SMALL_SLICE]
    return sentences + weakest(pieces, head, results.auc(head, split))


def weakest(pieces: Sequence[Slice], head: str, whole: Figure) -> list[str]:
    """The slice with the lowest AUC-ROC, if it lies notably below the whole split's."""
    scored = {piece.name: piece for piece in pieces if not math.isnan(piece.auc_roc[head].mean)}
    if not scored:
        return []
    worst = min(scored.values(), key=lambda piece: piece.auc_roc[head].mean)
    figure = worst.auc_roc[head]
    if not figure.mean < whole.mean - NOTABLE:
        return []
    doubt = "" if figure.high < whole.mean else ", though the difference may be luck"
    return [
        f"Of the slices with {SMALL_SLICE} memes or more it does worst on '{worst.name}' ({worst.memes:,} memes): "
        f"{with_interval(figure)} against {bare(whole.mean)} on all{doubt}."
    ]
