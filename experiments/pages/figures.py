"""The drawings of a comparison. Each returns a panel of the page, at most as wide as a phone."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from experiments.findings import History, Predicted
from experiments.layout import bare, interval, signed
from experiments.pages import curves
from experiments.pages.document import Panel
from experiments.pages.ink import FAINT, INK, PAPER, look, panel
from experiments.records import Figure, Pair, Row, Slice

SQUARE = (3.4, 3.1)  # inches
WIDE = 4.8  # inches


def forest(name: str, rows: Sequence[Row], split: str) -> Panel:
    """AUC-ROC of every head and reference with its interval."""
    shown = [row for row in rows if row.name != "chance" and np.isfinite(row.metrics["auc_roc"].mean)]
    figures = {row.name: row.metrics["auc_roc"] for row in shown}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvline(0.5, color=FAINT, linewidth=1, linestyle=":")
        for place, row in enumerate(shown):
            whisker(axes, figures[row.name], len(shown) - place, row.name)
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
            whisker(axes, Figure(pair.difference, low=pair.low, high=pair.high), len(pairs) - place, pair.fusion)
        axes.set_yticks(range(len(pairs), 0, -1), [f"{pair.fusion} - {pair.single}, {pair.split}" for pair in pairs])
        axes.set_ylim(0.4, len(pairs) + 0.6)
        axes.set_xlabel("difference of AUC-ROC, 95% interval; right of 0: fusion is better")
        axes.grid(axis="y", visible=False)

    said = [
        f"{pair.fusion} minus {pair.single} on {pair.split} {signed(pair.difference)} "
        f"[{signed(pair.low)}, {signed(pair.high)}]"
        for pair in pairs
    ]
    return panel(name, f"Differences of AUC-ROC: {', '.join(said)}.", (WIDE, 0.75 + 0.3 * len(pairs)), draw)


def roc(name: str, found: Predicted, rows: Mapping[str, Row], points: Mapping[str, Sequence[curves.Confusion]]) -> Panel:
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
    return panel(name, f"Calibration of {head} on {found.split}: {pairs}.", (2.5, 2.5), draw)


def confusion(name: str, split: str, head: str, counts: Sequence[curves.Confusion], threshold: float) -> Panel:
    """A head's confusion matrices at 0.5 and at dev's threshold, shaded by the share of the true label."""
    titles = ("at 0.5", f"at {threshold:.2f} (dev's)")

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
    return panel(name, f"Confusion of {head} on {split}, {said}.", (3.3, 2.15), draw)


def matrix(axes: Axes, counts: curves.Confusion, head: str) -> None:
    cells = np.array([[counts.rest, counts.false_alarms], [counts.misses, counts.hits]])
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1e-9)
    for (label, called), value in np.ndenumerate(cells):
        square_of = (called - 0.5, label - 0.5)
        axes.add_patch(
            _rectangle(square_of, look(head).colour, 0.04 + 0.5 * share[label, called]),
        )
        axes.text(called, label - 0.1, f"{value:.0f}" if value >= 10 else f"{value:.1f}", ha="center", va="center")
        axes.text(called, label + 0.24, f"{share[label, called]:.0%}", ha="center", va="center", fontsize=7.5)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), aspect="equal", xlabel="called")
    axes.set_xticks([0, 1], ["0", "1"])
    axes.set_yticks([0, 1], ["0", "1"])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _rectangle(corner: tuple[float, float], colour: str, alpha: float):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, facecolor=colour, alpha=alpha, linewidth=0)


def losses(name: str, head: str, history: History) -> Panel:
    """Train and dev loss of every run."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        epochs = np.arange(1, len(history.dev_loss) + 1)
        thin = {"color": look(head).colour, "linewidth": 1.0}
        axes.plot(epochs, history.train_loss, linestyle="--", alpha=0.75, **thin)
        axes.plot(epochs, history.dev_loss, linestyle="-", **thin)
        chosen(axes, history.dev_loss, history, head)
        axes.set(xlabel="epoch", ylabel="loss")
        axes.set_title(f"{head}: train (dashed), dev (solid)")

    best = history.dev_loss[history.best_epoch - 1, np.arange(len(history.best_epoch))]
    said = f"Losses of {head} over {len(history.dev_loss)} epochs; dev loss at the epochs kept {spread(best)}."
    return panel(name, said, (2.5, 2.2), draw)


def dev_auc(name: str, head: str, history: History) -> Panel:
    """AUC-ROC on dev of every run, the kept epoch marked."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        epochs = np.arange(1, len(history.dev_auc) + 1)
        axes.plot(epochs, history.dev_auc, color=look(head).colour, linewidth=1.0)
        chosen(axes, history.dev_auc, history, head)
        axes.set(xlabel="epoch", ylabel="AUC-ROC on dev")
        axes.set_title(f"{head}: epoch kept marked")

    best = history.dev_auc[history.best_epoch - 1, np.arange(len(history.best_epoch))]
    said = f"AUC-ROC of {head} on dev by epoch; epochs {spread(history.best_epoch, '.0f')} kept, at {spread(best)}."
    return panel(name, said, (2.5, 2.2), draw)


def chosen(axes: Axes, curve: np.ndarray, history: History, head: str) -> None:
    how = look(head)
    best = curve[history.best_epoch - 1, np.arange(curve.shape[1])]
    axes.plot(history.best_epoch, best, how.marker, color=how.colour, markersize=5, linestyle="none")
    axes.xaxis.get_major_locator().set_params(integer=True)


def spread(values: np.ndarray, form: str = ".3f") -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"


def slices(name: str, found: Sequence[Slice], split: str) -> Panel:
    """Every head's AUC-ROC on every slice."""
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
    return panel(name, f"AUC-ROC on slices of {split}. {said}.", (WIDE, 1.0 + 0.17 * (len(heads) + 1) * len(found)), draw)


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
