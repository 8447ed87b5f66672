"""A leaderboard as a section of a report: what quality costs, and every text encoder with every image encoder."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from experiments.pages.document import Block, Bullets, Conclusions, Drawings, Grid, Section
from experiments.pages.drawing import FAINT, INK, Panel, look, numbered, panel
from experiments.results import boards
from experiments.results.records import Leaderboard
from experiments.words import bare, each_meme
from experiments.words import boards as words

SIZE = (4.6, 3.9)  # inches
NONE = "none"


def section(reports: Path) -> Section | None:
    """Show what `leaderboard` has written below the reports folder; None where there is nothing."""
    board = boards.read_leaderboard(reports / boards.NAME)
    if board is None:
        return None
    group = Grid(words.level_table(board, f"Level with the best, {words.order(board)} first"))
    every = Grid(words.leaderboard_table(board, f"All {len(board.standings):,} rows, by AUC-ROC on {board.dev}"))
    caption = (
        f"Where costs are known, what quality on {board.dev} costs: no row left of the line is as good; numbers are "
        "places in the table. And the best head for every text and image encoder."
    )
    said = Conclusions([*words.leaderboard(board), *board.notes])
    reading = Bullets([" ".join(words.LEADERBOARD_READING.split())])
    blocks: list[Block] = [said, Drawings(caption, panels(board)), group, every, reading]
    return Section(f"Which encoders? {board.dataset}", "encoders", blocks)


def panels(board: Leaderboard) -> list[Panel]:
    """Return what can be drawn of it."""
    drawn = [cost(board) if board.frontier else None, heat_map(board)]
    return [each for each in drawn if each]


def cost(board: Leaderboard) -> Panel:
    """Draw AUC-ROC on dev against seconds a meme, with the frontier: no cheaper row is as good."""
    place = {each.name: number for number, each in enumerate(board.standings, 1)}
    known = [each for each in board.standings if not math.isnan(each.seconds)]
    front = [(each.seconds * 1000, each.splits[board.dev].metrics["auc_roc"].mean) for each in board.frontier]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for head in board.settings:
            points = [
                (each.seconds * 1000, each.splits[board.dev].metrics["auc_roc"].mean)
                for each in known
                if each.head == head
            ]
            how = look(head)
            if points:
                axes.plot(
                    *zip(*points, strict=True), how.marker, color=how.colour, linestyle="none", label=head, alpha=0.85
                )
        axes.plot(*zip(*front, strict=True), color=FAINT, drawstyle="steps-post", linewidth=1.2, zorder=0)
        for each, point in zip(board.frontier, front, strict=True):
            axes.annotate(str(place[each.name]), point, (-5, 5), textcoords="offset points", ha="right", fontsize=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.12, y=0.1)
        axes.set(xlabel="milliseconds to encode a meme, logarithmic", ylabel=f"AUC-ROC on {board.dev}")
        axes.legend(loc="lower right")

    steps = "; ".join(
        f"{each.name} {each_meme(each.seconds)}, {bare(each.splits[board.dev].metrics['auc_roc'].mean)}"
        for each in board.frontier
    )
    left_out = len(board.standings) - len(known)
    unknown = f" {left_out:,} rows of unknown cost are not drawn." if left_out else ""
    alt = f"AUC-ROC on {board.dev} against the cost of encoding; the frontier, cheapest first: {steps}.{unknown}"
    return panel("leaderboard-cost", alt, SIZE, draw)


def heat_map(board: Leaderboard) -> Panel:
    """Draw the best head's AUC-ROC on dev for each text encoder, or none, with each image encoder."""
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for each in board.standings:
        pair = (each.text_encoder or NONE, each.image_encoder or NONE)
        area = each.splits[board.dev].metrics["auc_roc"].mean
        if area > best.get(pair, (-1.0, ""))[0]:
            best[pair] = (area, each.head)
    texts = sorted({text for text, _ in best}, key=lambda name: (name == NONE, name))
    images = sorted({image for _, image in best}, key=lambda name: (name == NONE, name))
    low, high = min(area for area, _ in best.values()), max(area for area, _ in best.values())

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for (text, image), (area, head) in best.items():
            row, column = texts.index(text), images.index(image)
            cell(axes, column, row, (area - low) / (high - low or 1.0), f"{bare(area)}\n{head}")
        axes.set(xlim=(-0.5, len(images) - 0.5), ylim=(len(texts) - 0.5, -0.5))
        axes.set_xticks(range(len(images)), [broken(name) for name in images])
        axes.set_yticks(range(len(texts)), [broken(name) for name in texts])
        axes.set(xlabel="image encoder", ylabel="text encoder")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    cells = "; ".join(f"{text} with {image} {bare(area)} ({head})" for (text, image), (area, head) in best.items())
    size = (max(3.2, 1.9 + 1.15 * len(images)), 1.0 + 0.5 * len(texts))
    return panel("leaderboard-pairs", f"The best head's AUC-ROC on {board.dev}: {cells}.", size, draw)


def cell(axes: Axes, column: int, row: int, share: float, text: str) -> None:
    corner = (column - 0.48, row - 0.46)
    shade = 0.06 + 0.5 * share
    axes.add_patch(Rectangle(corner, 0.96, 0.92, facecolor=numbered(0).colour, alpha=shade, linewidth=0))
    axes.text(column, row, text, ha="center", va="center", fontsize=8, color=INK)


def broken(name: str) -> str:
    """A long name on several lines."""
    return name.replace("+", "+\n") if len(name) > 18 else name
