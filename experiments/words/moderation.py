"""Where to set the threshold, and who is hurt: sentences and tables of operating points, and of slices by a column."""

import math
from collections.abc import Sequence

from experiments.evaluate.field_slices import FieldSlices
from experiments.evaluate.operating_points import OperatingPoint, OperatingPoints, Stakes
from experiments.tables import Table
from experiments.words import bare, change, per_thousand, probability, with_interval

OPERATING_POINTS = """\
Each threshold was chosen on dev, by the mean probability of a head's runs, and is used as it is on test. Of those with
a recall it is the highest, with a precision the one that finds most. "review" leaves a share of the memes to a person,
those whose log odds lie nearest to predict's own threshold; "error" leaves as many as it takes for the rest to be wrong
no more often than that. Intervals are 95%, over groups of memes that share a text or an image."""


def operating_points(answer: OperatingPoints, head: str) -> list[str]:
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


def stakes(given: Stakes) -> list[str]:
    said = []
    if given.miss > 0:
        said.append(f"A miss costs {given.miss:g}, a false alarm {given.alarm:g}; the cost is that of 1,000 memes.")
    if given.prevalence > 0:
        said.append(f"Memes are weighed as if {given.prevalence:.2%} of them had label 1.")
    return said


def operating_goal(point: OperatingPoint) -> str:
    """What a goal's own figure came to, and from which probability on: "from .412", "between .212 and .641"."""
    if math.isnan(point.high):
        return "not reached on dev"
    return f"from {bare(point.high)}" if point.low == point.high else f"{bare(point.low)} to {bare(point.high)}"


def field_slices(answer: FieldSlices, head: str) -> list[str]:
    """The largest gaps of a head between values of a column, what they show, and how many memes have no value."""
    rates = {"miss_rate": "missed, of label 1", "false_alarm_rate": "false alarms, of label 0"}
    said = []
    for gap in (each for each in answer.gaps if each.head == head):
        shows = "a gap" if gap.p_holm < 0.05 else "no evidence of a gap"
        said.append(
            f"{gap.split}, {rates[gap.rate]}: the largest difference is that between {answer.field} {gap.highest} and "
            f"{gap.lowest}, {change(gap.difference, gap.low, gap.high)}, p {probability(gap.p_holm)} "
            f"(permutation over groups of memes, Holm): {shows}."
        )
    if not said:
        said.append(f"No gap is tested: that takes two values of {answer.field} with 10 memes of a label each.")
    return said + [
        f"{count:,} of {answer.memes[split]:,} memes of {split} have no {answer.field}: a row of their own, in no test "
        "of a gap."
        for split, count in answer.without.items()
        if count
    ]


def operating_tables(answer: OperatingPoints, head: str, splits: Sequence[str]) -> list[Table]:
    """A head's operating points, a table for each of these splits that has some."""
    return [table for split in splits if (table := operating_table(answer, head, split)).rows]


def operating_table(answer: OperatingPoints, head: str, split: str) -> Table:
    """A head's operating points on one split."""
    points = [point for point in answer.points if (point.head, point.split) == (head, split)]
    cost = any("cost" in point.figures for point in points)
    header = ["chosen on dev for", "blocked", "recall", "precision", "false alarms per 1,000 harmless", "reviewed"]
    header += ["error of the rest"] + ["cost of 1,000"] * cost

    def cells(point: OperatingPoint) -> list[str]:
        figures = point.figures
        if not figures:
            return [""] * (len(header) - 2)
        shown = {name: with_interval(each) for name, each in figures.items()}
        reviewed = shown["reviewed"] if point.low < point.high else "none"
        cells = [shown["recall"], shown["precision"], per_thousand(figures["false_alarms"]), reviewed]
        return [*cells, shown["error"], *([per_thousand(figures["cost"])] if cost else [])]

    rows = [[point.goal, operating_goal(point), *cells(point)] for point in points]
    return Table(f"Operating points of {head} on {split}", header, rows, words=(0, 1))


def field_table(answer: FieldSlices, head: str, split: str) -> Table:
    """A head's figures on one split by the values of a column."""
    header = [answer.field, "memes", "label 1", "AUC-ROC", "missed (of label 1)", "false alarms (of label 0)"]
    cells = [
        [piece.value, f"{piece.memes:,}", f"{piece.positive / piece.memes:.0%}"]
        + [with_interval(figure) for figure in piece.figures.values()]
        for piece in answer.slices
        if (piece.head, piece.split) == (head, split)
    ]
    return Table(f"{head} on {split} by {answer.field}", header, cells)
