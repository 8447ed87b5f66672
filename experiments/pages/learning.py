"""What more labels would bring: a learning curve as drawings, and as a section of a comparison's report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from experiments.evaluate.learning import along
from experiments.pages import figures
from experiments.pages.document import Block, Bullets, Drawings, Grid, Paragraph, Section
from experiments.pages.drawing import PAPER, Panel, look, panel
from experiments.results import answers
from experiments.results import learning as record
from experiments.results.folder import Results
from experiments.results.learning import LearningCurve, Point, Replaced
from experiments.results.records import Figure
from experiments.words import change, with_interval

SIZE = (4.4, 3.4)  # inches


def section(results: Results, reports: Path) -> Section | None:
    """Show the learning curve below a comparison's folder; a sentence where it is of others, None without one."""
    curve = record.read_learning_curve(reports / record.NAME)
    if curve is None:
        return None
    if not curve.same_memes(results.comparison.splits, results.comparison.encoders):
        left_out = f"{reports / record.NAME} is of other memes or encoders than this comparison, and is left out."
        return Section("More labels?", "labels", [Paragraph(left_out)])
    said, shown, others = answers.more_labels(curve, reports)
    caption = (
        "AUC-ROC by memes of train (logarithmic). Bands: 95% over draws of memes, seeds and test memes. Dotted, with a "
        "hollow mark: what a power law expects of twice the labels, where it fits. Grey: the reference best on dev."
    )
    blocks: list[Block] = [Bullets(said), Drawings(caption, panels(curve))]
    if others:
        caption = (
            "What may raise AUC-ROC: twice the labels, where a power law may say so, and the leaderboard's other "
            "encoders with the same head, best on dev."
        )
        blocks.append(Drawings(caption, [beside(curve, others)]))
    return Section("More labels?", "labels", [*blocks, *map(Grid, shown)])


def panels(curve: LearningCurve, others: Sequence[Replaced] = ()) -> list[Panel]:
    """Draw the curve on each split, and what other encoders bring beside twice the labels, where that is known."""
    drawn = [drawing(curve, split) for split in dict.fromkeys(point.split for point in curve.points)]
    return [*drawn, beside(curve, others)] if others else drawn


def beside(curve: LearningCurve, others: Sequence[Replaced]) -> Panel:
    """Draw what twice the labels may bring each head, and what the best other encoders bring it."""
    lines = []
    for each in others:
        for law in curve.laws:
            if (law.head, law.split) == (each.head, each.pair.split) and not law.refused:
                gain = Figure(law.gain, low=law.gain_low, high=law.gain_high)
                lines.append((f"{law.head}: twice the labels, {law.split}", gain, law.head))
        lines.append((f"{each.head}: other encoders, {each.pair.split}", figures.of_difference(each.pair), each.head))
    said = "; ".join(f"{name} {change(figure.mean, figure.low, figure.high)}" for name, figure, _ in lines)
    return figures.changes(f"{record.NAME}-beside", f"Change of AUC-ROC. {said}.", lines, "change of AUC-ROC")


def drawing(curve: LearningCurve, split: str) -> Panel:
    """Draw AUC-ROC over the size of train, of every head and of the reference that is best on dev."""
    lines = {name: curve.of(name, split) for name in shown(curve)}
    sizes = {point.size: point.memes for points in lines.values() for point in points}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for name, points in lines.items():
            how, memes = look(name), [point.memes for point in points]
            low, middle, high = np.array([[p.auc_roc.low, p.auc_roc.mean, p.auc_roc.high] for p in points]).T
            if points[0].kind == "head":
                axes.fill_between(memes, low, high, color=how.colour, alpha=0.12, linewidth=0)
            axes.plot(memes, middle, how.marker, color=how.colour, linestyle=how.line, label=name)
        for law in (law for law in curve.laws if law.split == split and law.head in lines and not law.refused):
            scale, how = np.geomspace(1, 2, 20), look(law.head)
            ahead = along(scale, law.distance, law.exponent, law.limit)
            axes.plot(scale * law.largest, ahead, ":", color=how.colour, linewidth=1.2)
            axes.plot(2 * law.largest, ahead[-1], how.marker, color=how.colour, markerfacecolor=PAPER)
        axes.set(xscale="log", xlabel="memes of train", ylabel=f"AUC-ROC on {split}")
        axes.set_xticks(list(sizes.values()), [f"{memes:,.0f}" for memes in sizes.values()])
        axes.xaxis.set_minor_locator(NullLocator())
        canvas.legend(loc="outside upper left", ncols=3)

    said = "; ".join(
        f"{name}: " + ", ".join(f"{with_interval(point.auc_roc)} of {point.memes:,.0f}" for point in points)
        for name, points in lines.items()
    )
    return panel(f"{record.NAME}-{split}", f"AUC-ROC on {split} by memes of train. {said}.", SIZE, draw)


def shown(curve: LearningCurve) -> list[str]:
    """Return the heads, and the reference with the highest AUC-ROC on dev at the largest size."""
    last = [point for point in curve.points if point.size == curve.sizes[-1] and point.split.startswith("dev")]
    references: list[Point] = [point for point in last if point.kind == "reference"]
    best = max(references, key=lambda point: point.auc_roc.mean).head if references else None
    return list(dict.fromkeys(p.head for p in curve.points if p.kind == "head" or p.head == best))
