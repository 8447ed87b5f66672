"""Drawings of a dataset: class balance, words in a text, image sizes."""

from collections import Counter

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from experiments.glance import Glance
from experiments.pages.document import Panel
from experiments.pages.ink import FAINT, INK, LOOKS, panel

LABELS = {1: "label 1", 0: "label 0", None: "no label"}
COLOURS = {1: INK, 0: FAINT, None: FAINT}
HATCHES = {1: "", 0: "////", None: "...."}
DASHES = {1: "-", 0: "--", None: ":"}
BUBBLES = 22  # bins of each axis of the image sizes


def balance(glance: Glance) -> Panel:
    """Stacked bars, a bar for each split; labels differ by hatching too."""
    splits = [split for split in glance.splits if split.memes]
    counts = {split.name: Counter(meme.label for meme in split.memes) for split in splits}

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        left = np.zeros(len(splits))
        for label, name in LABELS.items():
            share = np.array([counts[split.name][label] / len(split.memes) for split in splits])
            if share.any():
                axes.barh(
                    range(len(splits)),
                    share,
                    left=left,
                    color=COLOURS[label],
                    hatch=HATCHES[label],
                    label=name,
                    height=0.6,
                )
            left += share
        axes.set_yticks(range(len(splits)), [f"{split.name} ({len(split.memes):,})" for split in splits])
        axes.invert_yaxis()
        axes.set(xlabel="share of memes", xlim=(0, 1))
        axes.grid(axis="y", visible=False)
        canvas.legend(loc="outside upper left", ncols=3)

    said = "; ".join(
        f"{name}: " + ", ".join(f"{LABELS[label]} {count[label]:,}" for label in LABELS if count[label])
        for name, count in counts.items()
    )
    return panel("class-balance", f"Class balance. {said}.", (3.3, 1.2 + 0.34 * len(splits)), draw)


def words(glance: Glance) -> Panel:
    """How many words texts have, by label; each label's bars add up to 1, the longest texts share the last one."""
    memes = glance.memes
    by_label = {
        label: np.array([len(meme.text.split()) for meme in memes if meme.label == label], dtype=int)
        for label in LABELS
    }
    everyone = np.concatenate(list(by_label.values()))
    cap = int(np.quantile(everyone, 0.995)) + 1 if len(everyone) else 1
    edges = np.arange(0, cap + 2, max(1, round(cap / 30)))

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for label, count in by_label.items():
            if len(count):
                share = np.histogram(np.minimum(count, edges[-1]), edges)[0] / len(count)
                axes.stairs(
                    share, edges, label=LABELS[label], color=COLOURS[label], linestyle=DASHES[label], linewidth=1.8
                )
        axes.set(xlabel="words in a text (last step: or more)", ylabel="share of the label's memes")
        axes.legend(loc="upper right")

    medians = ", ".join(f"{LABELS[label]} {np.median(count):.0f}" for label, count in by_label.items() if len(count))
    return panel("words", f"Words in a text; medians: {medians}.", (3.5, 2.6), draw)


def sizes(glance: Glance) -> list[Panel]:
    """Width and height of images on logarithmic axes; nothing where no image can be read."""
    sides = np.array([(picture.width, picture.height) for picture in glance.pictures if picture.format], dtype=float)
    if not len(sides):
        return []
    edges = np.geomspace(sides.min() / 1.02, sides.max() * 1.02, BUBBLES + 1)
    count, _, _ = np.histogram2d(sides[:, 0], sides[:, 1], (edges, edges))
    centre = np.sqrt(edges[1:] * edges[:-1])
    column, row = np.nonzero(count)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.plot(edges[[0, -1]], edges[[0, -1]], color=FAINT, linewidth=1, linestyle=":")
        area = 4 + 130 * count[column, row] / count.max()
        axes.scatter(centre[column], centre[row], s=area, color=LOOKS["early"].colour, alpha=0.7, linewidths=0)
        axes.set(xscale="log", yscale="log", xlabel="width (pixels)", ylabel="height (pixels)", aspect="equal")
        ticks = nice_ticks(edges[0], edges[-1])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
            axis.set_minor_locator(NullLocator())

    width, height = np.median(sides, axis=0)
    said = f"Image sizes from {sides.min():.0f} to {sides.max():.0f} pixels a side; medians {width:.0f} x {height:.0f}."
    return [panel("image-sizes", said, (2.9, 2.6), draw)]


def nice_ticks(low: float, high: float) -> list[int]:
    """1, 2 and 5 times powers of ten inside a range, if there are three; else its ends and middle."""
    ticks = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    middle = float(np.sqrt(low * high))
    return inside if len(inside) > 2 else sorted({max(1, round(each)) for each in (low, middle, high)})
