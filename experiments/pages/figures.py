"""Drawings of a comparison. Each is a panel of the page, not much wider than a phone."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from experiments.evaluate import curves
from experiments.pages.drawing import FAINT, INK, PAPER, Panel, look, panel
from experiments.results.folder import SplitPredictions
from experiments.results.models import SavedHistory
from experiments.results.records import Ablation, Figure, Pair, Row, Slice
from experiments.words import bare, change, difference, with_interval
from heads.metrics import Counts

WIDE, SMALL = 4.4, 2.36  # inches; four small ones stand beside each other
SQUARE = (4.3, 3.9)  # inches
Line = tuple[str, Figure, str]  # its name, its figure, and the head whose look it has
Points = Mapping[str, Sequence[Counts]]  # by head: its counts at 0.5 and at dev's threshold


def roc(predicted: SplitPredictions, rows: Mapping[str, Row], points: Points) -> Panel:
    """Draw ROC curves of the heads in `points`; both labels must be present."""
    areas = {head: rows[head].metrics["auc_roc"] for head in points}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
        threshold_curves(axes, predicted, areas, points, curves.roc, curves.false_positive_rate, curves.recall)
        unit_square(axes, "false positive rate", "true positive rate")
        axes.legend(loc="lower right", title="AUC-ROC", alignment="left")

    alt = f"ROC curves on {predicted.split}; areas: {with_intervals(areas)}."
    return panel(f"roc-{predicted.split}", alt, SQUARE, draw)


def precision_recall(predicted: SplitPredictions, rows: Mapping[str, Row], points: Points) -> Panel:
    """Draw precision over recall of the heads in `points`; label 1 must be present."""
    heights = {head: rows[head].metrics["average_precision"] for head in points}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axhline(predicted.positive[predicted.labelled].mean(), color=FAINT, linewidth=1, linestyle=":")
        threshold_curves(axes, predicted, heights, points, curves.precision_recall, curves.recall, curves.precision)
        unit_square(axes, "recall", "precision")
        axes.legend(loc="lower left", title="AP", alignment="left")

    alt = f"Precision-recall curves on {predicted.split}; average precision: {with_intervals(heights)}."
    return panel(f"precision-recall-{predicted.split}", alt, SQUARE, draw)


def threshold_curves(
    axes: Axes, predicted: SplitPredictions, figures: Mapping[str, Figure], points: Points,
    curve: Callable[..., tuple[np.ndarray, np.ndarray]], *across_and_up: Callable[[Counts], float],
) -> None:  # fmt: skip
    """Draw each head's curve, and where the head stands at 0.5 (hollow) and at dev's threshold (filled)."""
    mask = predicted.labelled
    for head, counts in points.items():
        how = look(head)
        line = curve(predicted.heads[head].by_run[:, mask], predicted.positive[mask])
        axes.plot(*line, color=how.colour, linestyle=how.line, label=f"{head} {bare(figures[head].mean)}")
        for each, fill in zip(counts, (PAPER, how.colour), strict=True):
            at = [rate(each) for rate in across_and_up]
            axes.plot(*at, how.marker, color=how.colour, markerfacecolor=fill, zorder=3)


def unit_square(axes: Axes, across: str, up: str) -> None:
    axes.set(xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), aspect="equal")


def calibration(predicted: SplitPredictions, head: str, row: Row) -> Panel:
    """Draw one head's calibration curve over a histogram of its probabilities."""
    mask = predicted.labelled
    bins = curves.calibration(predicted.heads[head].by_run[:, mask], predicted.positive[mask])
    how = look(head)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        height = 0.25 * bins.memes / bins.memes.max()
        axes.bar(bins.predicted, height, width=0.06, color=how.colour, alpha=0.25, linewidth=0)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":")
        axes.vlines(bins.predicted, bins.low, bins.high, color=how.colour, linewidth=1)
        axes.plot(bins.predicted, bins.observed, color=how.colour, linestyle=how.line, marker=how.marker)
        unit_square(axes, "predicted probability", "share of label 1")
        axes.set_title(f"{head}, ECE {bare(row.metrics['ece'].mean)}")

    pairs = zip(bins.predicted, bins.observed, strict=True)
    points = ", ".join(f"{said:.2f} said, {came:.2f} came" for said, came in pairs)
    alt = f"Calibration of {head} on {predicted.split}: {points}."
    return panel(f"calibration-{predicted.split}-{head}", alt, (SMALL, 2.35), draw)


def confusion(split: str, head: str, counts: Sequence[Counts], threshold: float) -> Panel:
    """Draw a head's confusion matrices at 0.5 and at dev's threshold, shaded by the share of the true label."""
    titles = ("at .5", f"at {bare(threshold)}")

    def draw(canvas: Canvas) -> None:
        both = canvas.subplots(1, 2)
        for axes, each, title in zip(both, counts, titles, strict=True):
            matrix(axes, each, head)
            axes.set_title(title)
        both[0].set_ylabel("label")
        canvas.suptitle(head, x=0.01, ha="left", fontsize=9.5, fontweight="bold")

    cells = "; ".join(
        f"{title}: of label 1 {each.hits:.0f} found, {each.misses:.0f} missed, of label 0 {each.rest:.0f} left alone, "
        f"{each.false_alarms:.0f} called 1"
        for title, each in zip(titles, counts, strict=True)
    )
    return panel(f"confusion-{split}-{head}", f"Confusion of {head} on {split}, {cells}.", (SMALL, 1.75), draw)


def matrix(axes: Axes, counts: Counts, head: str) -> None:
    cells = np.array([[counts.rest, counts.false_alarms], [counts.misses, counts.hits]])
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-9)
    for (label, called), value in np.ndenumerate(cells):
        corner, shade = (called - 0.5, label - 0.5), 0.04 + 0.5 * share[label, called]
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=look(head).colour, alpha=shade, linewidth=0))
        axes.text(called, label - 0.1, f"{value:.0f}" if value >= 10 else f"{value:.1f}", ha="center", va="center")
        axes.text(called, label + 0.24, f"{share[label, called]:.0%}", ha="center", va="center", fontsize=7)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), aspect="equal", xlabel="called")
    axes.set_xticks([0, 1], ["0", "1"])
    axes.set_yticks([0, 1], ["0", "1"])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def losses(head: str, history: SavedHistory) -> Panel:
    """Draw train and dev loss of every run."""
    best = spread(at_best(history.dev_loss, history)[1])
    kept = f"dev loss at the epochs kept {best}" if best else "no epoch was kept"
    alt = f"Losses of {head} over {len(history.dev_loss)} epochs; {kept}."
    return by_epoch(f"loss-{head}", f"{head}: loss", alt, head, history, history.dev_loss, history.train_loss)


def dev_auc(head: str, history: SavedHistory) -> Panel:
    """Draw the AUC-ROC on dev of every run, its best epoch marked."""
    epochs, best = at_best(history.dev_auc, history)
    kept = f"epochs {spread(epochs, '.0f')} kept, at {spread(best)}" if len(epochs) else "no epoch was kept"
    alt = f"AUC-ROC of {head} on dev by epoch; {kept}."
    return by_epoch(f"dev-auc-{head}", f"{head}: AUC-ROC on dev", alt, head, history, history.dev_auc)


def by_epoch(
    name: str, title: str, alt: str, head: str, history: SavedHistory, dev: np.ndarray, train: np.ndarray | None = None
) -> Panel:
    how, epochs = look(head), np.arange(1, len(dev) + 1)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        if train is not None:
            axes.plot(epochs, train, linestyle="--", color=how.colour, linewidth=1.0, alpha=0.75)
        axes.plot(epochs, dev, color=how.colour, linewidth=1.0)
        axes.plot(*at_best(dev, history), how.marker, color=how.colour, markersize=5, linestyle="none")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set(title=title, xlabel="epoch")

    return panel(name, alt, (SMALL, 2.1), draw)


def at_best(curve: np.ndarray, history: SavedHistory) -> tuple[np.ndarray, np.ndarray]:
    """Return the best epochs (1 is the first), and a curve's values there, of the runs that have one."""
    [runs] = np.nonzero(history.best_epoch > 0)  # 0: the run diverged before any epoch could be called the best
    epochs = history.best_epoch[runs]
    return epochs, curve[epochs - 1, runs]


def spread(values: np.ndarray, form: str = ".3f") -> str:
    """Return "lowest to highest"; "" for no values."""
    if not len(values):
        return ""
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"


def probabilities(predicted: SplitPredictions, heads: Sequence[str]) -> Panel:
    """Draw how heads' probabilities are spread, for a split without labels."""
    edges = np.linspace(0, 1, 21)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for head in heads:
            count = np.histogram(predicted.heads[head].probability, edges)[0] / len(predicted.ids)
            axes.stairs(count, edges, color=look(head).colour, linestyle=look(head).line, label=head, linewidth=1.6)
        axes.set(xlabel="probability of label 1 (mean over runs)", ylabel="share of memes", xlim=(0, 1))
        axes.legend(loc="upper right")

    means = ", ".join(f"{head} {predicted.heads[head].probability.mean():.2f}" for head in heads)
    alt = f"Spread of probabilities on {predicted.split}; means: {means}."
    return panel(f"probabilities-{predicted.split}", alt, (WIDE, 2.6), draw)


def forest(rows: Sequence[Row], split: str) -> Panel:
    """Draw the AUC-ROC of every head and reference with its interval."""
    shown = [
        row for row in rows if row.name != "chance" and row.kind != "mean" and np.isfinite(row.metrics["auc_roc"].mean)
    ]
    figures = {row.name: row.metrics["auc_roc"] for row in shown}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
        lines = [(name, figure, name) for name, figure in figures.items()]
        intervals(axes, lines, f"AUC-ROC on {split}, 95% interval; dotted: chance")

    alt = f"AUC-ROC on {split}: {with_intervals(figures)}."
    return panel(f"auc-roc-{split}", alt, (WIDE, 0.75 + 0.27 * len(shown)), draw)


def gains(pairs: Sequence[Pair]) -> Panel:
    """Draw differences of AUC-ROC between fusions and the better single modality."""

    lines = [(f"{pair.head} - {pair.against}, {pair.split}", of_difference(pair), pair.head) for pair in pairs]
    differences = [f"{pair.head} minus {pair.against} on {pair.split} {difference(pair)}" for pair in pairs]
    return changes("gains", f"Differences of AUC-ROC: {', '.join(differences)}.", lines, "difference of AUC-ROC")


def of_difference(pair: Pair) -> Figure:
    return Figure(pair.difference, low=pair.low, high=pair.high)


def changes(name: str, alt: str, lines: Sequence[Line], below: str, title: str = "") -> Panel:
    """Draw changes with their intervals, one below the other, about zero."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        intervals(axes, lines, f"{below}, 95% interval")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_title(title)

    return panel(name, alt, (WIDE, 0.75 + 0.2 * bool(title) + 0.28 * len(lines)), draw)


def ablation(ablations: Sequence[Ablation], how: str) -> Panel:
    """Draw what every head loses on one split without a side. how: the side is "shuffled", or at train's "mean"."""
    shown = [each for each in ablations if each.how == how]
    titles = {"shuffled": "shuffled among memes", "mean": "at train's mean"}

    lines = [
        (f"{each.head} without {each.side}", Figure(-each.lost, low=-each.high, high=-each.low), each.head)
        for each in shown
    ]
    said = ", ".join(f"{name} {change(figure.mean, figure.low, figure.high)}" for name, figure, _ in lines)
    split = shown[0].split
    alt = f"Change of AUC-ROC on {split} with a side {titles[how]}: {said}."
    return changes(f"ablation-{how}-{split}", alt, lines, "change of AUC-ROC", titles[how])


def slices(shown: Sequence[Slice], split: str) -> Panel:
    """Draw every head's AUC-ROC on every slice."""
    heads = list(shown[0].auc_roc)
    step = 1 / (len(heads) + 1)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
        for place, piece in enumerate(shown):
            for number, head in enumerate(heads):
                height = len(shown) - place - (number - (len(heads) - 1) / 2) * step
                interval_line(axes, piece.auc_roc[head], height, head)
        for head in heads:
            axes.plot([], [], look(head).marker, color=look(head).colour, label=head)
        names = [f"{piece.name} ({piece.memes:,})" for piece in shown]
        name_lines(axes, names, f"AUC-ROC on {split}; dotted: chance")
        canvas.legend(loc="outside upper left", ncols=len(heads))

    areas = "; ".join(f"{piece.name}: {with_intervals(piece.auc_roc)}" for piece in shown)
    size = (WIDE, 1.0 + 0.15 * (len(heads) + 1) * len(shown))
    return panel(f"slices-{split}", f"AUC-ROC on slices of {split}. {areas}.", size, draw)


def interval_line(axes: Axes, figure: Figure, height: float, head: str) -> None:
    """Draw a figure as a mark on its interval; nothing where it is undefined."""
    how = look(head)
    if np.isfinite(figure.low):
        axes.plot([figure.low, figure.high], [height, height], color=how.colour, linewidth=2, solid_capstyle="butt")
    if np.isfinite(figure.mean):
        axes.plot(figure.mean, height, how.marker, color=how.colour, markersize=6)


def intervals(axes: Axes, lines: Sequence[Line], below: str) -> None:
    """Draw figures with their intervals one below the other. below: what they are."""
    for place, (_, figure, head) in enumerate(lines):
        interval_line(axes, figure, float(len(lines) - place), head)
    name_lines(axes, [name for name, _, _ in lines], below)


def name_lines(axes: Axes, names: Sequence[str], below: str) -> None:
    """Name the lines of a drawing from the top down; below: what its figures are."""
    axes.set_yticks(range(len(names), 0, -1), list(names))
    axes.set_ylim(0.4, len(names) + 0.6)
    axes.set_xlabel(below)
    axes.grid(axis="y", visible=False)


def with_intervals(figures: Mapping[str, Figure]) -> str:
    return ", ".join(f"{name} {with_interval(figure)}" for name, figure in figures.items())
