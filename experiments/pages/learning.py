"""What more labels would bring: a learning curve as drawings, and as a section of a comparison's report."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from experiments.evaluate.learning import along
from experiments.pages.document import Bullets, Drawings, Grid, Paragraph, Section
from experiments.pages.drawing import PAPER, Panel, look, panel
from experiments.results import learning as record
from experiments.results.folder import Results
from experiments.results.learning import LearningCurve, Point
from experiments.words import with_interval
from experiments.words.learning import learning as sentences
from experiments.words.learning import learning_tables

SIZE = (4.4, 3.4)  # inches


def section(results: Results, reports: Path) -> Section | None:
    """Show the learning curve below a comparison's folder; a sentence where it is of others, None without one."""
    curve = record.read(reports / record.NAME)
    if curve is None:
        return None
    if not curve.same_memes(results.comparison.splits, results.comparison.encoders):
        left_out = f"{reports / record.NAME} is of other memes or encoders than this comparison, and is left out."
        return Section("More labels?", "labels", [Paragraph(left_out)])
    caption = (
        "AUC-ROC by memes of train (logarithmic). Bands: 95% over draws of memes, seeds and test memes. Dotted, with a "
        "hollow mark: what a power law expects of twice the labels, where it fits. Grey: the reference best on dev."
    )
    return Section(
        "More labels?",
        "labels",
        [Bullets(sentences(curve)), Drawings(caption, panels(curve)), *map(Grid, learning_tables(curve))],
    )


def panels(curve: LearningCurve) -> list[Panel]:
    return [drawing(curve, split) for split in dict.fromkeys(point.split for point in curve.points)]


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
