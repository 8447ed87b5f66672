"""What a comparison shows: each fusion, each head, what the memes allow to see, what was left out."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.evaluate.resampling import FEWEST
from experiments.results.records import NOT_IN_TRAIN, Ablation, Comparison, Figure, Pair, Row, SplitSize
from experiments.words import (
    UNDEFINED,
    any_of,
    bare,
    change,
    counted,
    difference,
    p_is,
    signed,
    span,
    whole,
    with_interval,
)
from heads.metrics import METRICS
from heads.models import fusions, singles

CONCLUSIONS = {  # of records.CONCLUSIONS
    "gain": "a gain",
    "loss": "a loss",
    "unconfirmed gain": "no firm evidence of a gain",
    "unconfirmed loss": "no firm evidence of a loss",
    "none": "no evidence of a gain",
    "too few": "too few memes to tell",
    "untested": "no test possible",
}
FOUR_IN_FIVE = "four times in five (power 80%, one test at .05)"

FIGURES_READING = """\
Figures are means ± standard deviation over seeds. Intervals are 95% score intervals (Wilson) of that mean: their
variance is the bootstrap's over memes (2,000 resamples of groups that share a text or an image) and that over seeds.
They say how far the figure may lie from what more memes of this kind, and other seeds, would show. AUC-ROC and AP
(average precision) depend on no threshold; accuracy, precision, recall, F1 and macro-F1 are at probability 0.5, and
again at the threshold with the best macro-F1 on dev. ECE (expected calibration error, 15 bins) and Brier score are
better when lower.

"Mean of N runs" is what predict, serve and submit use: the mean probability of a head's runs, with a threshold of its
own, tuned on dev. Those very runs are used again, so its interval counts memes alone as luck."""
SLICES_READING = """\
Where a split, or a slice of it, has fewer than 10 memes of either label, those that share a text or an image counted
once, AUC-ROC has no interval, nothing is tested, and "too few memes to tell" is said."""
READING = f"""\
{FIGURES_READING}

A fusion is compared with the better single modality, which dev chose, on the same memes. AUC-ROC: difference of the
means over seeds, tested by DeLong's test with Obuchowski's variance for groups of memes that share a text or an image,
to which the variance over seeds comes (Student's t); where fewer than 10 of those groups make a difference vary, by a
permutation test over them, with an interval that joins both figures' own.
Accuracy: of the seeds' mean probability at 0.5, tested by McNemar's exact test, in which groups change sides
together, with a bootstrap interval over memes. p-values are Holm-corrected over all rows of the table, both measures
and all splits: whichever row is quoted, a false alarm anywhere in it is no likelier than .05. "A gain" takes a
corrected p below .05 and an interval without 0; where only one of the two says so, there is "no firm evidence".

All other pairs of heads are tested by AUC-ROC in the same way, and Holm-corrected among themselves. "Shown at 80%" is
the difference that one such test at .05, uncorrected, would show four times in five on these memes and seeds ("none":
it would have to be above 1); "memes for it" how many memes of this kind the difference seen would take for that ("no
number": more memes alone would not do it, for the seeds' luck stays, or the difference is too small).

What a hidden layer is worth: each head is compared in the same way with LR on the vectors that it sees; a fusion with
"LR both" or "LR balanced", whichever is better on dev. These p-values are Holm-corrected among themselves.

{SLICES_READING}

References: chance is what a fair coin is expected to score; majority class gives every meme train's share of label 1;
LR is logistic regression with C tuned on dev; kNN the share of label 1 among the nearest train memes by cosine, k tuned
on dev. All see the same standardised vectors as the heads; "LR balanced" sees both scaled to one norm, as heads do."""


def conclusion(pair: Pair) -> str:
    """Return what a pair shows, in words."""
    return CONCLUSIONS[pair.conclusion]


def tested(pair: Pair, p: str) -> str:
    """A difference, its test where there is one, and what they show. p: its p-value in words."""
    return f"{difference(pair)}{'' if math.isnan(pair.p_holm) else f', {p}'}: {conclusion(pair)}."


def fusion_sentence(pair: Pair) -> str:
    """One sentence on a fusion's AUC-ROC."""
    return (
        f"{pair.head} vs {pair.against} (the better single modality on dev): {pair.split} AUC-ROC {bare(pair.of_head)} "
        f"vs {bare(pair.of_against)}, {tested(pair, f'{p_is(pair.p_holm)} (Holm)')}"
    )


def power(pair: Pair) -> str:
    """What difference these memes would show, and how many the one seen takes; empty where nothing is known of it."""
    if not pair.has_power:
        return ""
    measure = METRICS[pair.measure].title
    shown = f"no difference of {measure}" if pair.undetectable else f"a difference of {measure} of {detectable(pair)}"
    said = f"{pair.head.capitalize()} against {pair.against}: these memes of {pair.split} show {shown} {FOUR_IN_FIVE}"
    if pair.conclusion in ("gain", "loss"):
        return f"{said}."
    if math.isnan(pair.memes_needed):
        return f"{said}; for the {bare(abs(pair.difference))} seen here more memes alone would not do."
    return f"{said}; the {bare(abs(pair.difference))} seen here takes {counted(math.ceil(pair.memes_needed), 'meme')}."


def powers(pairs: Sequence[Pair]) -> list[str]:
    """One sentence on what these memes would show of those of one split's fusions that show nothing; none for none."""
    unsure = [pair for pair in pairs if pair.conclusion not in ("gain", "loss") and pair.has_power]
    if len(unsure) < 2:
        return [power(pair) for pair in unsure]
    shown = [pair.detectable for pair in unsure if not pair.undetectable]
    takes = [pair.memes_needed for pair in unsure if not math.isnan(pair.memes_needed)]
    never = [pair.head for pair in unsure if pair.undetectable]
    alone = [pair.head for pair in unsure if math.isnan(pair.memes_needed)]
    heads, of = any_of([pair.head for pair in unsure], "and"), f"these memes of {unsure[0].split} show"
    differences = f"differences of AUC-ROC of {span(bare, shown)}" if shown else "no difference of AUC-ROC"
    said = [f"{heads.capitalize()} against {unsure[0].against}: {of} {differences} {FOUR_IN_FIVE}"]
    said += [f"of {any_of(never, 'and')} none"] if never and shown else []
    said += [f"those seen here take {span(whole, takes)} memes"] if takes else []
    said += [f"for {any_of(alone, 'and')} more memes alone would not do"] if alone else []
    return [f"{'; '.join(said)}."]


def untold(pair: Pair, size: SplitSize, two: str = "") -> str:
    """That a split's memes do not tell two apart, and how many would; empty where they do, or nothing is known of it.

    two: what to call them; their names unless given.
    """
    memes = size.labelled
    if pair.conclusion == "too few":
        return too_few(size)
    if not pair.has_power or pair.conclusion in ("gain", "loss"):
        return ""
    if math.isnan(pair.memes_needed):
        takes = "more memes alone would not do"
    elif pair.memes_needed > memes:
        takes = f"it takes {memes_needed(pair)}"
    else:
        takes = f"it takes {memes_needed(pair)} in a single test, and more in one of several"
    return f"{memes:,} memes of {pair.split} do not tell {two or f'{pair.head} and {pair.against}'} apart; {takes}."


def detectable(pair: Pair) -> str:
    """The difference that is shown four times in five."""
    return "none" if pair.undetectable else bare(pair.detectable)


def memes_needed(pair: Pair) -> str:
    """How many memes of this kind the difference seen would take."""
    if not pair.has_power:
        return UNDEFINED
    return "no number" if math.isnan(pair.memes_needed) else whole(pair.memes_needed)


def summary(comparison: Comparison) -> list[str]:
    """A sentence per fusion and judged split, or why there is none; then, per judged split, one on all heads against
    regressions and one on what its size allows to see."""
    judged = [pair for pair in comparison.pairs if pair.measure == "auc_roc"]
    said = [fusion_sentence(pair) for pair in judged]
    for split in comparison.judged:
        said += powers([pair for pair in judged if pair.split == split])
    if comparison.judged and not said:
        said = [no_fusion()]
    sizes = {size.name: size for size in comparison.splits}
    for split in comparison.judged:
        heads = [row for row in comparison.rows if row.split == split and row.kind == "head"]
        said += against_linear([pair for pair in comparison.linear if pair.split == split])
        said += [precision(sizes[split], heads)] if heads else []
    said += [listened(comparison.image_share)] if comparison.image_share else []
    said += [ensemble(comparison.ensemble)] if comparison.ensemble else []
    said += carried(comparison)
    said += [sentence for size in comparison.splits if (sentence := leakage(size))]
    if comparison.seeds == 1:
        said.append("With one seed, intervals and tests count memes alone as luck: another seed's is not in them.")
    return said


def listened(share: Mapping[str, float]) -> str:
    """How much the heads that weigh text and image meme by meme listen to either."""
    each = "; ".join(f"{head} {bare(1 - image)} to {bare(image)}" for head, image in share.items())
    return f"How much text and image are listened to (mean weights on dev): {each}."


def ensemble(heads: Mapping[str, int]) -> str:
    """What an ensemble is made of."""
    parts = ", ".join(f"{head} x{count}" if count > 1 else head for head, count in heads.items())
    return f"ensemble is the mean of {parts}: greedy selection on dev, whose figure for it flatters."


def carried(comparison: Comparison) -> list[str]:
    """How heads do on other datasets' memes beside the first judged split: a sentence for each such split."""
    areas = {(row.split, row.name): row.metrics["auc_roc"] for row in comparison.rows if row.kind == "head"}
    home, sentences = comparison.judged[0], []
    for split in comparison.elsewhere:
        figures = [
            f"{head} {with_interval(there)} ({beside(there, areas[home, head])})"
            for (where, head), there in areas.items()
            if where == split and not math.isnan(there.mean)
        ]
        if figures:
            sentences.append(f"Carried over to {split}, AUC-ROC is {', '.join(figures)}; in brackets: on {home}.")
    return sentences


def beside(there: Figure, home: Figure) -> str:
    """Whether a figure on other memes is another one: intervals that do not meet say so."""
    apart = {"lower: ": there.high < home.low, "higher: ": there.low > home.high}
    return "".join(word for word, shown in apart.items() if shown) + with_interval(home)


def leakage(size: SplitSize) -> str:
    """What of a split stands in train, too; empty where nothing does."""
    if not size.in_train.get("any"):
        return ""
    shared = ", ".join(f"{size.in_train[what]:,} by {what}" for what in ("id", "text", "image") if size.in_train[what])
    if size.in_train["any"] == size.memes:
        return f"All {size.memes:,} memes of {size.name} stand in train, too ({shared}): its figures tell nothing new."
    return (
        f"{size.in_train['any']:,} of {size.memes:,} memes of {size.name} stand in train, too ({shared}), which may "
        f'flatter its figures: see "{size.name}{NOT_IN_TRAIN}".'
    )


def uses(ablations: Sequence[Ablation]) -> str:
    """Which sides one head uses on one split, from what it loses where they are shuffled; empty where nothing is known.

    One side is called the greater where the intervals of what is lost do not meet.
    """
    shuffled = [each for each in ablations if each.how == "shuffled" and not math.isnan(each.low)]
    if not shuffled:
        return ""
    greater, lesser = max(shuffled, key=lambda each: each.lost), min(shuffled, key=lambda each: each.lost)
    used = [each.side for each in shuffled if each.shown]
    unused = [each.side for each in shuffled if not each.shown]
    if not used:
        said = f"no evidence that it uses the {' or the '.join(unused)}"
    elif unused:
        said = f"it uses the {used[0]}; no evidence that it uses the {unused[0]}"
    else:
        more = f", the {greater.side} more" if greater.low > lesser.high else ""
        said = f"it uses the {' and the '.join(used)}{more}"
    losses = " and ".join(
        f"{change(-each.lost, -each.high, -each.low)} with the {each.side} shuffled" for each in shuffled
    )
    head, split = shuffled[0].head, shuffled[0].split
    return f"{head.capitalize()}'s AUC-ROC on {split} changes by {losses} among memes: {said}."


def no_fusion() -> str:
    return f"No fusion is judged: that takes {any_of(fusions())}, and {any_of(singles())} to compare with."


def against_linear(pairs: Sequence[Pair]) -> list[str]:
    """What the heads' hidden layers are worth on one split, in one sentence; none without a pair."""
    if not pairs:
        return []
    heads: dict[str, list[str]] = {}  # by what they show
    for pair in pairs:
        heads.setdefault(conclusion(pair), []).append(pair.head)
    differences = ", ".join(f"{pair.head} {signed(pair.difference)}" for pair in pairs)
    by_head = "; ".join(f"{what} for {', '.join(names)}" for what, names in heads.items())
    concluded = by_head if len(heads) > 1 else conclusion(pairs[0])
    return [f"Heads vs logistic regression on the same vectors: {pairs[0].split} AUC-ROC {differences}: {concluded}."]


def precision(size: SplitSize, heads: Sequence[Row]) -> str:
    """How far an AUC-ROC on so many memes can be trusted: half the interval of the best head."""
    figures = [row.metrics["auc_roc"] for row in heads if np.isfinite(row.metrics["auc_roc"].high)]
    if not figures:
        return too_few(size)
    best = max(figures, key=lambda figure: figure.mean)
    groups = f" ({size.groups:,} groups that share no text or image)" if size.groups < size.labelled else ""
    return (
        f"With {size.labelled:,} memes{groups} in {size.name}, an AUC-ROC of {bare(best.mean)} is good to "
        f"±{bare((best.high - best.low) / 2)}."
    )


def too_few(size: SplitSize) -> str:
    """Why nothing is told of a split by AUC-ROC: how many memes it has of either label, and how many that takes."""
    other = size.labelled - size.positive
    return (
        f"With {counted(size.positive, 'meme')} of label 1 and {other:,} of label 0, {size.name} tells no two heads "
        f"apart, and its AUC-ROCs have no intervals: that takes {FEWEST} of either that share no text or image."
    )


def heading(size: SplitSize) -> str:
    if not size.labelled:
        return f"{size.name}: {size.memes:,} memes without labels, predicted but not scored"
    without = f", {size.memes - size.labelled:,} more without a label" if size.labelled < size.memes else ""
    return f"{size.name}: {size.labelled:,} memes, {size.positive / size.labelled:.0%} of label 1{without}"


def undefined(rows: Sequence[Row]) -> list[str]:
    """Which metrics are undefined for whom, and why."""
    names: dict[str, list[str]] = {}  # of rows, by metric
    for row in rows:
        for name, figure in row.metrics.items():
            if figure.undefined:
                seeds = f" ({figure.undefined} of {row.seeds} seeds)" if figure.undefined < row.seeds else ""
                names.setdefault(name, []).append(row.name + seeds)
    return [
        f"{METRICS[name].title} is undefined for {'; '.join(who)}: {METRICS[name].undefined}."
        for name, who in names.items()
    ]


def diverged(head: str, seeds: Sequence[int]) -> str:
    """That a head has no figures, for its runs have none."""
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{head}: training diverged ({named}), so it has no figures; a lower learning rate may help."
