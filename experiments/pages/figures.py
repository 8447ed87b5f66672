"""Drawings of a comparison's curves and counts. Each is a panel of the page, not much wider than a phone."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from experiments.pages import curves
from experiments.pages.document import Panel
from experiments.pages.ink import FAINT, PAPER, look, panel
from experiments.pages.whiskers import WIDE, told
from experiments.results.reading import History, Predicted
from experiments.results.records import Row
from experiments.tables import bare

SQUARE = (4.3, 3.9)  # inches
SMALL = 2.36  # inches: four beside each other


def roc(
    name: str, found: Predicted, rows: Mapping[str, Row], points: Mapping[str, Sequence[curves.Confusion]]
) -> Panel:
    """ROC curves; both labels must be present. points: each head's counts at 0.5 and at dev's threshold."""
    mask = found.labelled

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
        for head in points:
            across, up = curves.roc(found.opinions[head].by_run[:, mask], found.positive[mask])
            line(axes, across, up, head, f"{head} {bare(rows[head].metrics['auc_roc'].mean)}")
            marks(axes, [(each.false_positive_rate, each.true_positive_rate) for each in points[head]], head)
        square(axes, "false positive rate", "true positive rate")
        axes.legend(loc="lower right", title="AUC-ROC", alignment="left")

    said = told({head: rows[head].metrics["auc_roc"] for head in points})
    return panel(name, f"ROC curves on {found.split}; areas: {said}.", SQUARE, draw)


def precision_recall(
    name: str, found: Predicted, rows: Mapping[str, Row], points: Mapping[str, Sequence[curves.Confusion]]
) -> Panel:
    """Precision over recall; label 1 must be present."""
    mask = found.labelled

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axhline(found.positive[mask].mean(), color=FAINT, linewidth=1, linestyle=":")
        for head in points:
            recall, precision = curves.precision_recall(found.opinions[head].by_run[:, mask], found.positive[mask])
            line(axes, recall, precision, head, f"{head} {bare(rows[head].metrics['average_precision'].mean)}")
            marks(axes, [(each.true_positive_rate, each.precision) for each in points[head]], head)
        square(axes, "recall", "precision")
        axes.legend(loc="lower left", title="AP", alignment="left")

    said = told({head: rows[head].metrics["average_precision"] for head in points})
    return panel(name, f"Precision-recall curves on {found.split}; average precision: {said}.", SQUARE, draw)


def line(axes: Axes, across: np.ndarray, up: np.ndarray, head: str, label: str) -> None:
    how = look(head)
    axes.plot(across, up, color=how.colour, linestyle=how.line, label=label)


def marks(axes: Axes, points: Sequence[tuple[float, float]], head: str) -> None:
    """Where the head stands at 0.5 (hollow) and at dev's threshold (filled)."""
    how = look(head)
    for point, fill in zip(points, (PAPER, how.colour), strict=True):
        axes.plot(*point, how.marker, color=how.colour, markerfacecolor=fill, zorder=3)


def square(axes: Axes, across: str, up: str) -> None:
    axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), aspect="equal")


def calibration(name: str, found: Predicted, head: str, row: Row) -> Panel:
    """One head's calibration curve over a histogram of its probabilities."""
    mask = found.labelled
    bins = curves.calibration(found.opinions[head].by_run[:, mask], found.positive[mask])
    how = look(head)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        height = 0.25 * bins.memes / bins.memes.max()
        axes.bar(bins.said, height, width=0.06, color=how.colour, alpha=0.25, linewidth=0)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
        axes.vlines(bins.said, bins.low, bins.high, color=how.colour, linewidth=1)
        axes.plot(bins.said, bins.came, color=how.colour, linestyle=how.line, marker=how.marker)
        square(axes, "predicted probability", "share of label 1")
        axes.set_title(f"{head}, ECE {bare(row.metrics['ece'].mean)}")

    pairs = ", ".join(f"{said:.2f} said, {came:.2f} came" for said, came in zip(bins.said, bins.came, strict=True))
    return panel(name, f"Calibration of {head} on {found.split}: {pairs}.", (SMALL, 2.35), draw)


def confusion(name: str, split: str, head: str, counts: Sequence[curves.Confusion], threshold: float) -> Panel:
    """A head's confusion matrices at 0.5 and at dev's threshold, shaded by the share of the true label."""
    titles = ("at .5", f"at {bare(threshold)}")

    def draw(canvas: Canvas) -> None:
        both = canvas.subplots(1, 2)
        for axes, each, title in zip(both, counts, titles, strict=True):
            matrix(axes, each, head)
            axes.set_title(title)
        both[0].set_ylabel("label")
        canvas.suptitle(head, x=0.01, ha="left", fontsize=9.5, fontweight="bold")

    said = "; ".join(
        f"{title}: of label 1 {each.hits:.0f} found, {each.misses:.0f} missed, of label 0 {each.rest:.0f} left alone, "
        f"{each.false_alarms:.0f} called 1"
        for title, each in zip(titles, counts, strict=True)
    )
    return panel(name, f"Confusion of {head} on {split}, {said}.", (SMALL, 1.75), draw)


def matrix(axes: Axes, counts: curves.Confusion, head: str) -> None:
    cells = np.array([[counts.rest, counts.false_alarms], [counts.misses, counts.hits]])
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-9)
    for (label, called), value in np.ndenumerate(cells):
        corner = (called - 0.5, label - 0.5)
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor=look(head).colour, alpha=0.04 + 0.5 * share[label, called], linewidth=0)
        )
        axes.text(called, label - 0.1, f"{value:.0f}" if value >= 10 else f"{value:.1f}", ha="center", va="center")
        axes.text(called, label + 0.24, f"{share[label, called]:.0%}", ha="center", va="center", fontsize=7)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), aspect="equal", xlabel="called")
    axes.set_xticks([0, 1], ["0", "1"])
    axes.set_yticks([0, 1], ["0", "1"])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def losses(name: str, head: str, history: History) -> Panel:
    """Train and dev loss of every run."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        epochs = np.arange(1, len(history.dev_loss) + 1)
        colour = look(head).colour
        axes.plot(epochs, history.train_loss, linestyle="--", color=colour, linewidth=1.0, alpha=0.75)
        axes.plot(epochs, history.dev_loss, color=colour, linewidth=1.0)
        chosen(axes, history.dev_loss, history, head)
        axes.set_xlabel("epoch")
        axes.set_title(f"{head}: loss")

    best = history.dev_loss[history.best_epoch - 1, np.arange(len(history.best_epoch))]
    said = f"Losses of {head} over {len(history.dev_loss)} epochs; dev loss at the epochs kept {spread(best)}."
    return panel(name, said, (SMALL, 2.1), draw)


def dev_auc(name: str, head: str, history: History) -> Panel:
    """AUC-ROC on dev of every run, the kept epoch marked."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        epochs = np.arange(1, len(history.dev_auc) + 1)
        axes.plot(epochs, history.dev_auc, color=look(head).colour, linewidth=1.0)
        chosen(axes, history.dev_auc, history, head)
        axes.set_xlabel("epoch")
        axes.set_title(f"{head}: AUC-ROC on dev")

    best = history.dev_auc[history.best_epoch - 1, np.arange(len(history.best_epoch))]
    said = f"AUC-ROC of {head} on dev by epoch; epochs {spread(history.best_epoch, '.0f')} kept, at {spread(best)}."
    return panel(name, said, (SMALL, 2.1), draw)


def chosen(axes: Axes, curve: np.ndarray, history: History, head: str) -> None:
    how = look(head)
    best = curve[history.best_epoch - 1, np.arange(curve.shape[1])]
    axes.plot(history.best_epoch, best, how.marker, color=how.colour, markersize=5, linestyle="none")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def spread(values: np.ndarray, form: str = ".3f") -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"


def called(name: str, found: Predicted, heads: Sequence[str]) -> Panel:
    """How a head's probabilities are spread, for splits without labels."""
    edges = np.linspace(0, 1, 21)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for head in heads:
            count = np.histogram(found.opinions[head].probability, edges)[0] / len(found.ids)
            axes.stairs(count, edges, color=look(head).colour, linestyle=look(head).line, label=head, linewidth=1.6)
        axes.set(xlabel="probability of label 1 (mean over runs)", ylabel="share of memes", xlim=(0, 1))
        axes.legend(loc="upper right")

    means = ", ".join(f"{head} {found.opinions[head].probability.mean():.2f}" for head in heads)
    return panel(name, f"Spread of probabilities on {found.split}; means: {means}.", (WIDE, 2.6), draw)
