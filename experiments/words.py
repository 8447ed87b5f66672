"""Every sentence about a comparison or a sweep, and how numbers are written. Records hold what is shown."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.results.learning import LearningCurve, PowerLaw, Replaced
from experiments.results.records import (
    NOT_IN_TRAIN,
    Ablation,
    Across,
    Comparison,
    Figure,
    Leaderboard,
    Pair,
    Row,
    SplitSize,
)
from experiments.search.ranking import Candidate, Choice, auc_error
from experiments.search.trials import Trial
from extract.errors import printable
from extract.store import EncoderIdentity
from heads.metrics import METRICS
from heads.models import HEADS, fusions, singles

if TYPE_CHECKING:
    from experiments.evaluate.field_slices import FieldSlices
    from experiments.evaluate.operating_points import OperatingPoint, OperatingPoints, Stakes
    from experiments.results.models import SavedHead
    from experiments.scoring.scorer import Opinion, Score, Scorer

UNDEFINED = "undefined"
CONCLUSIONS = {  # of records.CONCLUSIONS
    "gain": "a gain",
    "loss": "a loss",
    "unconfirmed gain": "no firm evidence of a gain",
    "unconfirmed loss": "no firm evidence of a loss",
    "none": "no evidence of a gain",
    "untested": "no test possible",
}
LOOKS_AT = {("text",): "text alone", ("image",): "image alone", ("text", "image"): "both together"}
READING = """\
Figures are means ± standard deviation over seeds. Intervals are 95% score intervals (Wilson) of that mean: their
variance is the bootstrap's over memes (2,000 resamples of groups that share a text or an image) and that over seeds.
They say how far the figure may lie from what more memes of this kind, and other seeds, would show. AUC-ROC and AP
(average precision) depend on no threshold; accuracy, precision, recall, F1 and macro-F1 are at probability 0.5, and
again at the threshold with the best macro-F1 on dev. ECE (expected calibration error, 15 bins) and Brier score are
better when lower.

"Mean of N runs" is what predict, serve and submit use: the mean probability of a head's runs, with a threshold of its
own, tuned on dev. Those very runs are used again, so its interval counts memes alone as luck.

A fusion is compared with the better single modality, which dev chose, on the same memes. AUC-ROC: difference of the
means over seeds, tested by DeLong's test with Obuchowski's variance for groups of memes that share a text or an image,
to which the variance over seeds comes (Student's t); where nothing varies, by a permutation test over those groups.
Accuracy: of the seeds' mean probability at 0.5, tested by McNemar's exact test, in which groups change sides
together, with a bootstrap interval over memes. p-values are Holm-corrected over all rows of the table, both measures
and all splits: whichever row is quoted, a false alarm anywhere in it is no likelier than .05. "A gain" takes a
corrected p below .05 and an interval without 0; where only one of the two says so, there is "no firm evidence".

All other pairs of heads are tested by AUC-ROC in the same way, and Holm-corrected among themselves. "Shown at 80%" is
the difference that one such test at .05, uncorrected, would show four times in five on these memes and seeds; "memes
for it" how many memes of this kind the difference seen would take for that ("no number": more memes alone would not do
it, for the seeds' luck stays, or the difference is too small).

What a hidden layer is worth: each head is compared in the same way with LR on the vectors that it sees; a fusion with
"LR both" or "LR balanced", whichever is better on dev. These p-values are Holm-corrected among themselves.

Slices have such intervals, too, but none with fewer than 10 memes of either label.

References: chance is what a fair coin is expected to score; majority class gives every meme train's share of label 1;
LR is logistic regression with C tuned on dev; kNN the share of label 1 among the nearest train memes by cosine, k tuned
on dev. All see the same standardised vectors as the heads; "LR balanced" sees both scaled to one norm, as heads do."""

LEADERBOARD_READING = """\
Each row is a head on the encoders that it looks at: a head of one modality stands for the other's "none". Rows are
trained, scored and given intervals as in `compare`, on the memes for which every encoder has a vector, and stand by
their AUC-ROC on dev: test has no say in the order. The first is tested against every other row on the same test memes
(DeLong's test for groups of memes, with the seeds' luck; Holm among all of them). "Level" are those that it does not
beat, for want of test memes as a rule: "memes for it" is how many the difference seen would take (one test at .05,
power 80%; "no number": more memes alone would not do it). Among them nothing here speaks for the dearer ones. The best
of many dev scores is optimistic: trust its test figure."""


def bare(value: float) -> str:
    """Three digits without the zero before the point: .812, -.034, 1.000."""
    if math.isnan(value):
        return UNDEFINED
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:z.3f}")


def signed(value: float) -> str:
    """A difference: +.019, -.004, +1.000."""
    return bare(value) if math.isnan(value) or value < 0 else f"+{bare(value)}"


def with_spread(figure: Figure) -> str:
    """.812±.004: mean and standard deviation over seeds; the mean alone where there is but one."""
    return bare(figure.mean) + ("" if math.isnan(figure.sd) else f"±{bare(figure.sd)}")


def interval(figure: Figure) -> str:
    return "" if math.isnan(figure.low) or math.isnan(figure.high) else f"[{bare(figure.low)}, {bare(figure.high)}]"


def with_interval(figure: Figure) -> str:
    return f"{bare(figure.mean)} {interval(figure)}".rstrip()


def change(value: float, low: float, high: float) -> str:
    """A difference with its interval: +.019 [-.004, +.041]."""
    return f"{signed(value)} [{signed(low)}, {signed(high)}]"


def difference(pair: Pair) -> str:
    """With its interval: +.019 [-.004, +.041]."""
    return change(pair.difference, pair.low, pair.high)


def probability(p: float) -> str:
    """A p-value: .043, <.001."""
    return "<.001" if p < 0.001 else bare(p)


def conclusion(pair: Pair) -> str:
    """Return what a pair shows, in words."""
    return CONCLUSIONS[pair.conclusion]


def fusion_sentence(pair: Pair) -> str:
    """One sentence on a fusion's AUC-ROC."""
    p = f"p {'<' if pair.p_holm < 0.001 else '='} {bare(max(pair.p_holm, 0.001))}"
    return (
        f"{pair.head} vs {pair.against} (the better single modality on dev): {pair.split} AUC-ROC "
        f"{bare(pair.of_head)} vs {bare(pair.of_against)}, {difference(pair)}, {p} (Holm): {conclusion(pair)}."
    )


def power(pair: Pair) -> str:
    """What difference these memes would show, and how many the one seen takes; empty where nothing is known of it."""
    if math.isnan(pair.detectable):
        return ""
    said = (
        f"{pair.head.capitalize()} against {pair.against}: these memes of {pair.split} show a difference of "
        f"{METRICS[pair.measure].title} of {bare(pair.detectable)} four times in five (power 80%, one test at .05)"
    )
    if pair.conclusion in ("gain", "loss"):
        return f"{said}."
    if math.isnan(pair.memes_needed):
        return f"{said}; for the {bare(abs(pair.difference))} seen here more memes alone would not do."
    return f"{said}; the {bare(abs(pair.difference))} seen here takes {memes_needed(pair)} memes."


def untold(pair: Pair, memes: int, two: str = "") -> str:
    """That so many memes do not tell two apart, and how many would; empty where they do, or nothing is known of it.

    two: what to call them; their names unless given.
    """
    if math.isnan(pair.detectable) or pair.conclusion in ("gain", "loss"):
        return ""
    if math.isnan(pair.memes_needed):
        takes = "more memes alone would not do"
    elif pair.memes_needed > memes:
        takes = f"it takes {memes_needed(pair)}"
    else:
        takes = f"it takes {memes_needed(pair)} in a single test, and more in one of several"
    return f"{memes:,} memes of {pair.split} do not tell {two or f'{pair.head} and {pair.against}'} apart; {takes}."


def memes_needed(pair: Pair) -> str:
    """How many memes of this kind the difference seen would take."""
    if math.isnan(pair.detectable):
        return UNDEFINED
    return "no number" if math.isnan(pair.memes_needed) else f"{math.ceil(pair.memes_needed):,}"


def summary(comparison: Comparison) -> list[str]:
    """A sentence per fusion and judged split, or why there is none; then, per judged split, one on all heads against
    regressions and one on what its size allows to see."""
    judged = [pair for pair in comparison.pairs if pair.measure == "auc_roc"]
    said = [fusion_sentence(pair) for pair in judged]
    said += [sentence for pair in judged if pair.conclusion not in ("gain", "loss") and (sentence := power(pair))]
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


def learning(curve: LearningCurve) -> list[str]:
    """What more labels may bring each head, and the best reference, on the judged splits; then the curve's notes."""
    heads = [law for law in curve.laws if law.head in curve.settings]
    return [*map(doubling, heads), *curve.notes]


NO_OTHERS = {  # of evaluate.learning.beside
    "no leaderboard": "python -m experiments.leaderboard was not run beside it.",
    "other memes": "the leaderboard beside it is of other memes.",
    "other encoders": "the leaderboard beside it has no row of these heads and encoders.",
    "no other row": "the leaderboard beside it has no other encoder for these heads, or is of an older version.",
}


def other_encoders(others: Sequence[Replaced], why: str, sizes: Sequence[SplitSize]) -> list[str]:
    """What another encoder brings each head, or why that is not said. others: of each head on dev, then on test."""
    if why:
        return [f"What another encoder would bring is not said: {NO_OTHERS[why]}"]
    memes, said = {size.name: size.labelled for size in sizes}, []
    for head in dict.fromkeys(each.head for each in others):
        *chose, judged = [each for each in others if each.head == head]
        pair = judged.pair
        dev = "".join(f"; {each.pair.split}, which chose it, has {difference(each.pair)}" for each in chose)
        said.append(
            f"{head.capitalize()} on {judged.other} in place of {judged.own}: {pair.split} AUC-ROC {difference(pair)}, "
            f"p {probability(pair.p_holm)} (Holm{dev}): {conclusion(pair)}. "
            f"{untold(pair, memes[pair.split], 'the two')}".rstrip()
        )
    return said


def doubling(law: PowerLaw) -> str:
    """What a head gained from more labels so far, and what twice as many may bring, where the power law may say so."""
    span = f"from {law.smallest:,.0f} to {law.largest:,.0f} memes of train"
    seen = change(law.rise, law.rise_low, law.rise_high)
    if law.refused == "no rise":
        return f"{law.head.capitalize()} on {law.split}: no evidence that AUC-ROC rises {span} ({seen})."
    start = f"{law.head.capitalize()} on {law.split}: AUC-ROC rises by {seen} {span}; "
    gain = change(law.gain, law.gain_low, law.gain_high)
    if not law.refused:
        return f"{start}twice as many labels may bring {gain} more."
    why = {
        "too few sizes": "that takes four sizes or more",
        "no fit": "no power law can be fitted",
        "poor fit": f"the sizes do not lie on a power law (p {probability(law.p)})",
        "too wide": f"a power law's {gain} is too uncertain beside what was seen",
    }
    return f"{start}what twice as many labels bring is not said: {why[law.refused]}."


def no_fusion() -> str:
    return f"No fusion is judged: that takes {any_of(fusions())}, and {any_of(singles())} to compare with."


def any_of(names: Sequence[str]) -> str:
    """ "early, late or mean"."""
    return " or ".join([*([", ".join(names[:-1])] if names[:-1] else []), *names[-1:]])


def against_linear(pairs: Sequence[Pair]) -> list[str]:
    """What the heads' hidden layers are worth on one split, in one sentence; none without a pair."""
    if not pairs:
        return []
    heads: dict[str, list[str]] = {}  # by what they show
    for pair in pairs:
        heads.setdefault(conclusion(pair), []).append(pair.head)
    differences = ", ".join(f"{pair.head} {signed(pair.difference)}" for pair in pairs)
    if len(heads) == 1:
        concluded = conclusion(pairs[0])
    else:
        concluded = "; ".join(f"{what} for {', '.join(names)}" for what, names in heads.items())
    return [f"Heads vs logistic regression on the same vectors: {pairs[0].split} AUC-ROC {differences}: {concluded}."]


def precision(size: SplitSize, heads: Sequence[Row]) -> str:
    """How far an AUC-ROC on so many memes can be trusted: half the interval of the best head."""
    figures = [row.metrics["auc_roc"] for row in heads if np.isfinite(row.metrics["auc_roc"].high)]
    if not figures:
        return f"{size.labelled:,} memes in {size.name} are too few for an interval."
    best = max(figures, key=lambda figure: figure.mean)
    groups = f" ({size.groups:,} groups that share no text or image)" if size.groups < size.labelled else ""
    return (
        f"With {size.labelled:,} memes{groups} in {size.name}, an AUC-ROC of {bare(best.mean)} is good to "
        f"±{bare((best.high - best.low) / 2)}."
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
        f"{METRICS[name].title} is undefined for {', '.join(who)}: {METRICS[name].undefined}."
        for name, who in names.items()
    ]


def encoders(comparison: Comparison) -> str:
    sides = " + ".join(f"{each.name} ({each.dim:,})" for each in comparison.encoders.values() if each.dim)
    return f"{sides}, {comparison.seeds} seeds"


def choice_cautions(choice: Choice, encoders: Mapping[str, EncoderIdentity], heads: Sequence[str]) -> list[str]:
    """What must be said of these heads compared under a sweep's choice, on these encoders."""
    names = tuple(encoder.name for encoder in encoders.values())
    notes = list(choice.notes) if names == (choice.text_encoder, choice.image_encoder) else []
    tuned = [head for head in heads if head in choice.heads]
    rest = [head for head in heads if head not in choice.heads]
    if not tuned or not rest:
        return notes
    return [
        *notes,
        f"Tuned by the sweep: {', '.join(tuned)}; with the shipped settings: {', '.join(rest)}. "
        "A difference between one of the former and one of the latter may be the tuning's.",
    ]


def diverged(head: str, seeds: Sequence[int]) -> str:
    """That a head has no figures, for its runs have none."""
    named = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    return f"{head}: training diverged ({named}), so it has no figures; a lower learning rate may help."


def candidate_score(candidate: Candidate) -> str:
    """A candidate's dev AUC-ROC, as ".812±.004"."""
    return with_spread(Figure(candidate.mean, candidate.sd))


def left_behind(ranked: Sequence[Candidate], on_pair: Sequence[Candidate]) -> list[str]:
    """Which single modality on other encoders beats those on the chosen pair: compare holds a fusion to the latter."""
    best, here = (next((each for each in some if len(each.encoders) == 1), None) for some in (ranked, on_pair))
    if best is None or here is None or not best.mean > here.mean:
        return []
    fusion = next((each for each in ranked if len(each.encoders) == 2), None)
    behind = fusion is not None and fusion.mean <= best.mean
    level = f", and is not beaten by any fusion ({candidate_score(fusion)})" if fusion and behind else ""
    return [
        f"On dev, {best.head} on {best.encoders[0]} ({candidate_score(best)}) beats {here.head} on {here.encoders[0]} "
        f"({candidate_score(here)}), the better single modality on the chosen encoders{level}: a fusion's gain over "
        "the latter need not be one over the former."
    ]


def sweep_reading(
    ranked: Sequence[Candidate], trials: Sequence[Trial], others: int, notes: Sequence[str], scoring: str
) -> list[str]:
    """How far a sweep's ranking can be trusted.

    others: configurations in the record that this sweep did not ask for. notes: of its choice. scoring: the command
    that scores the choice on test.
    """
    best, of = ranked[0].mean, trials[0]
    error = auc_error(best, of.dev_positive, of.dev_memes - of.dev_positive)
    within = sum(candidate.mean >= best - error for candidate in ranked)
    tried = f"{len(ranked):,} configurations were tried"
    tried += f", and {others:,} more in the same record by other sweeps." if others else "."
    return [
        "Figures are means ± standard deviation over seeds.",
        tried,
        "The best of many dev scores is optimistic: part of its lead is luck with these memes.",
        f"The best one's standard error over memes is {bare(error)} (Hanley & McNeil 1982); {within:,} configurations",
        "lie within that of it, and this dev split cannot tell them apart.",
        *several_versions(trials),
        *notes,
        f"What the choice is worth only test can say, and only once: `{scoring}`.",
    ]


def several_versions(trials: Sequence[Trial]) -> list[str]:
    """A sweep that goes on after the code has changed keeps what the older code scored."""
    codes = list(dict.fromkeys(trial.code for trial in trials))
    if len(codes) < 2:
        return []
    return [
        f"Runs of {len(codes)} versions of memefuse ({', '.join(codes)}) are ranked together: if training differs "
        "between them, so do these scores. Another --out trains all of them anew."
    ]


def looks_at(head: "SavedHead") -> str:
    return LOOKS_AT[head.sides]


def read(score: "Score") -> str:
    """The words that were read from a picture; empty where a text was given."""
    if score.read is None:
        return ""
    return f"Read from the picture: {printable(score.read)}" if score.read else "No words were read from the picture."


def meme(score: "Score", scorer: "Scorer") -> str:
    """One meme's probability and label, and whose they are."""
    origin = probability_origin(score.opinions[score.head], scorer)
    decision = f", {score.decision}" if score.decision else ""
    return f"probability {bare(score.probability)}, label {score.label}{decision} ({origin})"


def probability_origin(opinion: "Opinion", scorer: "Scorer") -> str:
    """Which head a probability is of, and from where on its label is 1."""
    runs = f"mean of {opinion.runs} runs" if opinion.runs > 1 else "1 run"
    tuned = "as asked for" if scorer.threshold is not None else "tuned on dev"
    if opinion.band:
        low, high = opinion.band
        reviewed = f", reviewed from {bare(low)} to {bare(high)}" if low < high else ""
        tuned = f"{tuned}{reviewed}, for {scorer.at} on dev" if reviewed else f"chosen on dev for {scorer.at}"
    return f"head {opinion.head}, {runs}; label 1 from {bare(opinion.threshold)}, {tuned}"


def modalities(score: "Score") -> str:
    """What text and image say on their own, and what the fusion makes of it; empty unless there are all three."""
    if len(HEADS[score.head].sides) < 2 or not {"text", "image"} <= score.opinions.keys():
        return ""
    text, image = score.opinions["text"], score.opinions["image"]
    if text.label != image.label:
        sides_with = "text" if text.label == score.label else "image"
        return (
            f"The text alone says label {text.label}, the image alone label {image.label}; "
            f"{score.head} sides with the {sides_with}."
        )
    if text.label == score.label:
        return f"The text alone and the image alone say label {text.label}, too."
    return f"The text alone and the image alone say label {text.label}; only together do they come to {score.label}."


OPERATING_POINTS = """\
Each threshold was chosen on dev, by the mean probability of a head's runs, and is used as it is on test. Of those with
a recall it is the highest, with a precision the one that finds most. "review" leaves a share of the memes to a person,
those whose log odds lie nearest to predict's own threshold; "error" leaves as many as it takes for the rest to be wrong
no more often than that. Intervals are 95%, over groups of memes that share a text or an image."""


def operating_points(answer: "OperatingPoints", head: str) -> list[str]:
    """What was assumed of a head's points, which goals dev does not reach, and which it cannot pin down."""
    here = {point.goal: point for point in answer.points if point.head == head}
    out_of_reach = [goal for goal, point in here.items() if math.isnan(point.high)]
    small = [goal for goal, point in here.items() if point.too_small]
    said = [" ".join(OPERATING_POINTS.split()), *stakes(answer.stakes)]
    if out_of_reach:
        said.append(f"No threshold of {head} reaches {', '.join(out_of_reach)} on dev.")
    if small:
        said.append(
            f"Dev is too small to place {', '.join(small)}: what was chosen for is known there to no better than "
            "±.100. Take these points for guesses; more dev memes would mend that."
        )
    return said


def each_meme(seconds: float) -> str:
    """Seconds to encode a meme: 41 ms, 1.20 s."""
    if math.isnan(seconds):
        return "unknown"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def leaderboard(board: Leaderboard) -> list[str]:
    """What a leaderboard comes to: the best on dev, what is level with it, what that costs, how to read it."""
    best, group = board.standings[0], board.level
    area = {split: best.splits[split].metrics["auc_roc"] for split in dict.fromkeys((board.dev, board.judged))}
    figures = ", ".join(f"{split} AUC-ROC {bare(each.mean)} {interval(each)}" for split, each in area.items())
    said = [f"Best on {board.dev} of {len(board.standings):,} rows: {best.name} ({figures})."]
    if board.pairs:
        beaten = f"{len(board.standings) - len(group):,} of the {len(board.pairs):,} others"
        said.append(f"On {board.judged} it beats {beaten} (AUC-ROC on the same memes, Holm-corrected).")
    if len(group) > 1:
        first, memes = group[0], next(size.labelled for size in board.sizes if size.name == board.judged)
        near = {pair.against: sentence for pair in board.pairs if (sentence := untold(pair, memes))}
        told = next((near[each.name] for each in group if each.name in near), "more memes may tell them apart.")
        cost = "of unknown cost" if math.isnan(first.seconds) else f"{each_meme(first.seconds)} a meme"
        said.append(
            f"Level with it: {len(group) - 1:,}. One may choose from these {len(group):,}; the cheapest is "
            f"{first.name} ({cost}, {first.dims:,} dims). Level is not equal: {told}"
        )
    if unknown := [name for name in board.encoders if not measured(board, name)]:
        said.append(
            f"The cost of encoding is unknown for {', '.join(unknown)}: extract writes it when it encodes (speed.json)."
        )
    if len(devices := sorted({each.device for each in board.standings if each.device})) > 1:
        said.append(f"Costs were measured on different machines or devices, and do not compare: {'; '.join(devices)}.")
    elif devices:
        said.append(
            f"Costs are seconds of reading, decoding and encoding a meme on {devices[0]}, one side after the other."
        )
    return said


def stakes(given: "Stakes") -> list[str]:
    said = []
    if given.miss > 0:
        said.append(f"A miss costs {given.miss:g}, a false alarm {given.alarm:g}; the cost is that of 1,000 memes.")
    if given.prevalence > 0:
        said.append(f"Memes are weighed as if {given.prevalence:.2%} of them had label 1.")
    return said


def operating_goal(point: "OperatingPoint") -> str:
    """What a goal's own figure came to, and from which probability on: "from .412", "between .212 and .641"."""
    if math.isnan(point.high):
        return "not reached on dev"
    return f"from {bare(point.high)}" if point.low == point.high else f"{bare(point.low)} to {bare(point.high)}"


def per_thousand(figure: Figure) -> str:
    """A rate or a cost of a meme, of 1,000: "25 [12, 51]"."""
    if math.isnan(figure.mean):
        return UNDEFINED
    ends = "" if math.isnan(figure.low + figure.high) else f" [{1000 * figure.low:,.0f}, {1000 * figure.high:,.0f}]"
    return f"{1000 * figure.mean:,.0f}{ends}"


def field_slices(answer: "FieldSlices", head: str) -> list[str]:
    """The largest gaps of a head between values of a column, what they show, and how many memes have no value."""
    rates = {"miss_rate": "missed, of label 1", "false_alarm_rate": "false alarms, of label 0"}
    said = []
    for gap in (each for each in answer.gaps if each.head == head):
        shows = "a gap" if gap.p_holm < 0.05 else "no evidence of a gap"
        said.append(
            f"{gap.split}, {rates[gap.rate]}: the largest difference is that between {answer.field} {gap.highest} and "
            f"{gap.lowest}, {signed(gap.difference)} [{signed(gap.low)}, {signed(gap.high)}], "
            f"p {probability(gap.p_holm)} (permutation over groups of memes, Holm): {shows}."
        )
    if not said:
        said.append(f"No gap is tested: that takes two values of {answer.field} with 10 memes of a label each.")
    for split, count in answer.without.items():
        if count:
            said.append(
                f"{count:,} of {answer.memes[split]:,} memes of {split} have no {answer.field}: a row of their own, in "
                "no test of a gap."
            )
    return said


def measured(board: Leaderboard, encoder: str) -> bool:
    """Whether it is known what an encoder costs, by a row that has it."""
    rows = [each for each in board.standings if encoder in (each.text_encoder, each.image_encoder)]
    return not rows or any(not math.isnan(each.seconds) for each in rows)


def across(found: Across) -> list[str]:
    """What several datasets say together of the rows that they share."""
    if not found.names:
        return [f"No row stands in all {len(found.datasets)} leaderboards: nothing can be ranked."]
    said = [f"Over {len(found.datasets)} datasets, {found.names[0]} has the best mean rank, {found.mean_rank[0]:.2f}."]
    if math.isnan(found.p):
        counts = f"{len(found.datasets)} datasets and {len(found.names)} rows"
        return [*said, f"{counts} are too few to test ranks: that takes 6 and 3."]
    said.append(
        f"Friedman's test that all rows are alike: p {'<' if found.p < 0.001 else '='} {bare(max(found.p, 0.001))}."
    )
    near = sum(rank - found.mean_rank[0] <= found.critical for rank in found.mean_rank) - 1
    if found.p >= 0.05:
        return [*said, "No row is shown to differ from another."]
    return [
        *said,
        f"Mean ranks differ where they are {found.critical:.2f} apart (Nemenyi, .05): {near} of the "
        f"{len(found.names) - 1} others are not told apart from the first.",
    ]
