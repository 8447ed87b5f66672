"""Where to set the threshold, and who is hurt: sections of a report where these questions were asked."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas

from experiments import words
from experiments.evaluate import operating_points
from experiments.evaluate.field_slices import FieldSlices
from experiments.evaluate.operating_points import OperatingPoints
from experiments.pages import figures
from experiments.pages.document import Bullets, Drawings, Grid, Section
from experiments.pages.drawing import FAINT, Panel, look, panel
from experiments.results import answers
from experiments.results.folder import Results
from experiments.words import moderation

WIDE = (4.4, 2.9)  # inches


def section(results: Results, reports: Path) -> Section | None:
    """Show the operating points of predict's head on the judged splits; None where nobody asked for them."""
    answer = answers.read_answer(reports, "operating_points", OperatingPoints, results.comparison.run)
    if answer is None:
        return None
    head, judged = results.best_on_dev, results.comparison.judged
    shown = [Grid(table) for table in moderation.operating_tables(answer, head, judged)]
    said = Bullets(moderation.operating_points(answer, head))
    caption = (
        "What reviewing buys: how many are wrong among the memes that nobody looks at, by how many a person looks at, "
        "the ones nearest to the threshold first. Hollow marks: the points above, chosen on dev."
    )
    drawings = Drawings(caption, [risk(results, answer, split) for split in judged])
    return Section("Where to set the threshold", "operating-points", [*shown, said, drawings])


def by_field(results: Results, answer: FieldSlices) -> Section:
    """Show what predict's head misses, and where it raises false alarms, by the values of a column of the manifest."""
    head, judged = results.best_on_dev, results.comparison.judged
    shown = [Grid(moderation.field_table(answer, head, split)) for split in judged]
    said = Bullets(moderation.field_slices(answer, head))
    drawn = [rates(answer, head, split) for split in judged]
    caption = f"Memes that {head} misses, and false alarms, by {answer.field}; 95% intervals, memes in brackets."
    anchor = f"by-{len(answer.field)}-{''.join(filter(str.isalnum, answer.field))}"
    return Section(f"Who is hurt, by {answer.field}", anchor, [*shown, said, Drawings(caption, drawn)])


def rates(answer: FieldSlices, head: str, split: str) -> Panel:
    """Draw both rates of every value with their intervals, side by side."""
    pieces = [each for each in answer.slices if (each.head, each.split) == (head, split)]
    titles = {"miss_rate": "missed, of label 1", "false_alarm_rate": "false alarms, of label 0"}

    def draw(canvas: Canvas) -> None:
        sides = canvas.subplots(1, 2, sharey=True)
        for axes, (rate, title) in zip(sides, titles.items(), strict=True):
            names = [f"{piece.value} ({piece.memes:,})".replace("$", r"\$") for piece in pieces]  # no formula
            rows = [(name, piece.figures[rate], head) for name, piece in zip(names, pieces, strict=True)]
            figures.intervals(axes, rows, title)
            axes.set_xlim(-0.02, 1.02)

    said = "; ".join(
        f"{piece.value}: " + ", ".join(f"{titles[rate]} {words.bare(piece.figures[rate].mean)}" for rate in titles)
        for piece in pieces
    )
    name = "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in answer.field)
    alt = f"Rates of {head} on {split} by {answer.field}. {said}."
    return panel(f"rates-{name}-{split}", alt, (WIDE[0], 0.8 + 0.3 * len(pieces)), draw)


def risk(results: Results, answer: OperatingPoints, split: str) -> Panel:
    """Draw every head's error of the rest over the share reviewed, and where its review points lie."""
    prevalence = answer.stakes.prevalence
    curves = {}
    for head in results.heads:
        own = operating_points.threshold(results, head)
        curves[head] = operating_points.risk(operating_points.judged(results, head, split), own, prevalence)[:2]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for head, (reviewed, error) in curves.items():
            how = look(head)
            axes.step(reviewed, error, where="post", color=how.colour, linestyle=how.line, label=head, linewidth=1.4)
            for point in answer.points:
                if (point.head, point.split) == (head, split) and point.goal.startswith(("review", "error")):
                    at = [point.figures[name].mean for name in ("reviewed", "error") if point.figures]
                    axes.plot(*at, marker=how.marker, color=how.colour, markerfacecolor="none", linestyle="none")
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.set(xlabel="share of memes reviewed", ylabel="error of the rest", xlim=(0, 1), ylim=(-0.01, None))
        axes.legend(loc="upper right")

    said = ", ".join(
        f"{head} {words.bare(error[0])} with none, {words.bare(error[np.searchsorted(reviewed, 0.5) - 1])} with half"
        for head, (reviewed, error) in curves.items()
    )
    return panel(f"risk-coverage-{split}", f"Error of the rest by share reviewed on {split}: {said}.", WIDE, draw)
