"""Drawings of figures with their intervals: heads, differences, slices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from experiments.pages.document import Panel
from experiments.pages.ink import FAINT, INK, look, panel
from experiments.results.records import Figure, Pair, Row, Slice
from experiments.tables import bare, difference, interval

WIDE = 4.4  # inches


def forest(name: str, rows: Sequence[Row], split: str) -> Panel:
    """AUC-ROC of every head and reference with its interval."""
    shown = [row for row in rows if row.name != "chance" and np.isfinite(row.metrics["auc_roc"].mean)]
    figures = {row.name: row.metrics["auc_roc"] for row in shown}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
        for place, row in enumerate(shown):
            whisker(axes, figures[row.name], float(len(shown) - place), row.name)
        axes.set_yticks(range(len(shown), 0, -1), [row.name for row in shown])
        axes.set_ylim(0.4, len(shown) + 0.6)
        axes.set_xlabel(f"AUC-ROC on {split}, 95% interval; dotted: chance")
        axes.grid(axis="y", visible=False)

    return panel(name, f"AUC-ROC on {split}: {told(figures)}.", (WIDE, 0.75 + 0.27 * len(shown)), draw)


def whisker(axes: Axes, figure: Figure, height: float, head: str) -> None:
    how = look(head)
    if np.isfinite(figure.low):
        axes.plot([figure.low, figure.high], [height, height], color=how.colour, linewidth=2, solid_capstyle="butt")
    axes.plot(figure.mean, height, how.marker, color=how.colour, markersize=6)


def told(figures: Mapping[str, Figure]) -> str:
    return ", ".join(f"{name} {bare(figure.mean)} {interval(figure)}".rstrip() for name, figure in figures.items())


def gains(name: str, pairs: Sequence[Pair]) -> Panel:
    """Differences of AUC-ROC between fusions and the better single modality."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for place, pair in enumerate(pairs):
            whisker(axes, Figure(pair.difference, low=pair.low, high=pair.high), float(len(pairs) - place), pair.head)
        axes.set_yticks(range(len(pairs), 0, -1), [f"{pair.head} - {pair.against}, {pair.split}" for pair in pairs])
        axes.set_ylim(0.4, len(pairs) + 0.6)
        axes.set_xlabel("difference of AUC-ROC, 95% interval")
        axes.grid(axis="y", visible=False)

    said = [f"{pair.head} minus {pair.against} on {pair.split} {difference(pair)}" for pair in pairs]
    return panel(name, f"Differences of AUC-ROC: {', '.join(said)}.", (WIDE, 0.75 + 0.3 * len(pairs)), draw)


def slices(name: str, found: Sequence[Slice], split: str) -> Panel:
    """Every head's AUC-ROC on every slice."""
    found = [piece for piece in found if any(np.isfinite(figure.mean) for figure in piece.auc_roc.values())]
    heads = list(found[0].auc_roc)
    step = 1 / (len(heads) + 1)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
        for place, piece in enumerate(found):
            for number, head in enumerate(heads):
                figure = piece.auc_roc[head]
                if np.isfinite(figure.mean):
                    whisker(axes, figure, len(found) - place - (number - (len(heads) - 1) / 2) * step, head)
        for head in heads:
            axes.plot([], [], look(head).marker, color=look(head).colour, label=head)
        axes.set_yticks(range(len(found), 0, -1), [f"{piece.name} ({piece.memes:,})" for piece in found])
        axes.set_ylim(0.4, len(found) + 0.6)
        axes.set_xlabel(f"AUC-ROC on {split}; dotted: chance")
        axes.grid(axis="y", visible=False)
        canvas.legend(loc="outside upper left", ncols=len(heads))

    said = "; ".join(f"{piece.name}: {told(piece.auc_roc)}" for piece in found)
    return panel(
        name, f"AUC-ROC on slices of {split}. {said}.", (WIDE, 1.0 + 0.15 * (len(heads) + 1) * len(found)), draw
    )
