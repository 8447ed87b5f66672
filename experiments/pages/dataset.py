"""The dataset at a glance: as a section of a report, or as a page of its own."""

import base64
import io
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator
from PIL import Image

from experiments.dataset_summary import DatasetSummary, ImageHeader, SplitSummary, word_counts
from experiments.pages.document import (
    Block,
    Bullets,
    Card,
    Drawings,
    Gallery,
    Grid,
    Page,
    Paragraph,
    Section,
    Thumbnail,
)
from experiments.pages.drawing import FAINT, INK, Panel, numbered, panel
from experiments.tables import Table
from extract import images as pixels
from extract import places
from extract.dataset import Meme

LABELS = {1: "label 1", 0: "label 0", None: "no label"}
COLOURS = {1: INK, 0: FAINT, None: FAINT}
HATCHES = {1: "", 0: "////", None: "...."}
LINES = {1: "-", 0: "--", None: ":"}
BUBBLES = 22  # bins of each axis of the image sizes
EXAMPLES = 8  # of each label
FAULTS = 20  # named one by one
RARE = ("no label", "no text", "unusable rows")
LONGER = 200  # pixels of a thumbnail
SHORTER = 40  # pixels at least: a strip would show nothing
QUALITY = 72  # of a thumbnail's JPEG; about 8 kB


def page(summary: DatasetSummary, images: bool) -> Page:
    """images: show memes' images."""
    splits = ", ".join(split.name for split in summary.splits)
    subtitle = f"{len(summary.memes):,} memes in {splits}"
    return Page(f"Memes of {places.name(summary.folder)}", subtitle, [section(summary, images)])


def section(summary: DatasetSummary, images: bool) -> Section:
    blocks: list[Block] = [Grid(splits_table(summary))]
    blocks += [Bullets(sentences)] if (sentences := remarks(summary)) else []
    caption = "Class balance, words in a text, and images by width and height (a disc's area is its number of images)."
    blocks.append(Drawings(caption, [balance(summary), words(summary), *sizes(summary)]))
    blocks += [Grid(formats)] if (formats := formats_table(summary)).rows else []
    blocks += [*overlaps(summary), *faults(summary)]
    if images and any(header.format for header in summary.splits[0].headers):
        blocks.append(examples(summary.splits[0]))
    return Section("The dataset at a glance", "dataset", blocks)


def splits_table(summary: DatasetSummary) -> Table:
    header = ["split", "memes", "label 1", "label 0", "no label", "share of 1", "words (median)", "5% to 95%"]
    header += ["distinct texts", "no text", "unusable rows"]
    rows = [split_row(split) for split in summary.splits]
    # columns of faults that nothing has are not worth a look
    shown = [place for place, name in enumerate(header) if name not in RARE or any(row[place] != "0" for row in rows)]
    return Table("Splits", [header[place] for place in shown], [[row[place] for place in shown] for row in rows])


def split_row(split: SplitSummary) -> list[str]:
    low, middle, high = np.quantile(split.words, (0.05, 0.5, 0.95)) if split.memes else (0, 0, 0)
    counts = [f"{each:,}" for each in (len(split.memes), *(split.labels[label] for label in LABELS))]
    share = f"{split.labels[1] / split.labelled:.0%}" if split.labelled else ""
    texts = [f"{each:,}" for each in (split.texts, split.without_text, len(split.faults))]
    return [split.name, *counts, share, f"{middle:.0f}", f"{low:.0f} to {high:.0f}", *texts]


def remarks(summary: DatasetSummary) -> list[str]:
    """Return what a reader of the tables should not overlook."""
    sentences = []
    for split in summary.splits:
        labels = [label for label in (0, 1) if split.labels[label]]
        if not labels:
            sentences.append(f"{split.name} has no labels: it can be predicted, not scored.")
        elif len(labels) == 1:
            sentences.append(f"{split.name} holds label {labels[0]} only: AUC-ROC is undefined on it.")
    confounders = {split.name: split.texts_with_both_labels for split in summary.splits}
    if counts := ", ".join(f"{count:,} in {name}" for name, count in confounders.items() if count):
        sentences.append(
            f"Some memes have a text that occurs in their split under either label ({counts}): only the image can tell "
            "them apart."
        )
    return sentences


def formats_table(summary: DatasetSummary) -> Table:
    """Return formats by what is inside files, with modes, sizes and bytes."""
    rows = []
    files = [header for header in summary.headers if header.size or header.reason]
    for name, number in Counter(header.format for header in files).most_common():
        headers = [header for header in files if header.format == name]
        modes = ", ".join(f"{mode} {count:,}" for mode, count in Counter(each.mode for each in headers).most_common())
        width, height = np.median([(each.width, each.height) for each in headers], axis=0)
        kilobytes = np.array([each.size for each in headers]) / 1000
        inside = [name, f"{number:,}", modes, f"{width:.0f} x {height:.0f}"]
        weights = [f"{np.median(kilobytes):,.0f}", f"{kilobytes.max():,.0f}"]
        rows.append((inside if name else ["cannot be read", f"{number:,}", "", ""]) + weights)
    header = ["format", "images", "modes", "median size (pixels)", "median kB", "largest kB"]
    return Table("Image files, by what is inside them", header, rows, words=(0, 2))


def overlaps(summary: DatasetSummary) -> list[Block]:
    if len(summary.splits) < 2:
        return []
    if not summary.overlaps:
        return [Paragraph("No two splits share an id, a text or an image file.")]
    rows = [
        [f"{each.one} and {each.other}", f"{each.ids:,}", f"{each.texts:,}", f"{each.images:,}"]
        for each in summary.overlaps
    ]
    return [Grid(Table("What splits share", ["splits", "ids", "equal texts", "byte-identical images"], rows))]


def faults(summary: DatasetSummary) -> list[Block]:
    """Return rows and files that cannot be used, by name."""
    lines = [str(fault) for split in summary.splits for fault in split.faults]
    lines += [
        f"{split.name}  {meme.id}  {meme.image.name}: {header.reason}"
        for split in summary.splits
        for meme, header in zip(split.memes, split.headers, strict=True)
        if header.reason
    ]
    lines += [
        f"{count:,} files named {ending} hold {inside}; they are read all the same."
        for (ending, inside), count in summary.misnamed.most_common()
    ]
    more = [f"and {len(lines) - FAULTS:,} more"] if len(lines) > FAULTS else []
    return [Paragraph("Rows and files to know of:"), Bullets(lines[:FAULTS] + more)] if lines else []


def examples(split: SplitSummary) -> Gallery:
    """Return memes of each label, drawn by lot; the same ones every time."""
    lot = random.Random(0)
    pairs = list(zip(split.memes, split.headers, strict=True))
    cards = []
    for label, name in LABELS.items():
        usable = [place for place, (meme, header) in enumerate(pairs) if meme.label == label and header.format]
        for place in sorted(lot.sample(usable, min(EXAMPLES, len(usable)))):
            meme, header = pairs[place]
            cards.append(Card(meme.id, name, meme.text, thumbnail(meme, header)))
    return Gallery(f"Memes of {split.name}, drawn by lot from each label", cards)


def thumbnail(meme: Meme, header: ImageHeader) -> Thumbnail | None:
    """Return a small picture that travels inside the page; None where the image cannot be decoded.

    It shows what the image encoder gets to see, stretched back to the image's own shape.
    """
    if header.reason:
        return None
    try:
        seen = pixels.decode(meme.image.read_bytes())
    except (pixels.Undecodable, OSError):
        return None
    scale = LONGER / max(header.width, header.height)
    width, height = (max(SHORTER, round(side * scale)) for side in (header.width, header.height))
    out = io.BytesIO()
    small = Image.fromarray(seen).resize((width, height), Image.Resampling.LANCZOS)
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode(), width, height)


def balance(summary: DatasetSummary) -> Panel:
    """Draw stacked bars, a bar for each split; labels differ by hatching too."""
    splits = [split for split in summary.splits if split.memes]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        left = np.zeros(len(splits))
        for label, name in LABELS.items():
            share = np.array([split.labels[label] / len(split.memes) for split in splits])
            if share.any():
                style: dict[str, Any] = {"color": COLOURS[label], "hatch": HATCHES[label], "label": name, "height": 0.6}
                axes.barh(range(len(splits)), share, left=left, **style)
            left += share
        axes.set_yticks(range(len(splits)), [f"{split.name} ({len(split.memes):,})" for split in splits])
        axes.invert_yaxis()
        axes.set(xlabel="share of memes", xlim=(0, 1))
        axes.grid(axis="y", visible=False)
        canvas.legend(loc="outside upper left", ncols=3)

    counts = "; ".join(
        f"{split.name}: "
        + ", ".join(f"{name} {split.labels[label]:,}" for label, name in LABELS.items() if split.labels[label])
        for split in splits
    )
    return panel("class-balance", f"Class balance. {counts}.", (3.3, 1.2 + 0.34 * len(splits)), draw)


def words(summary: DatasetSummary) -> Panel:
    """Draw how many words texts have; each label's bars add up to 1, the longest texts share the last one."""
    by_label = {
        label: count
        for label in LABELS
        if len(count := word_counts([meme for meme in summary.memes if meme.label == label]))
    }
    longest = int(np.quantile(word_counts(summary.memes), 0.995)) + 1 if summary.memes else 1
    edges = np.arange(0, longest + 2, max(1, round(longest / 30)))

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for label, count in by_label.items():
            share = np.histogram(np.minimum(count, edges[-1]), edges)[0] / len(count)
            axes.stairs(share, edges, label=LABELS[label], color=COLOURS[label], linestyle=LINES[label], linewidth=1.8)
        axes.set(xlabel="words in a text (last step: or more)", ylabel="share of the label's memes")
        axes.legend(loc="upper right")

    medians = ", ".join(f"{LABELS[label]} {np.median(count):.0f}" for label, count in by_label.items())
    return panel("words", f"Words in a text; medians: {medians}.", (3.5, 2.6), draw)


def sizes(summary: DatasetSummary) -> list[Panel]:
    """Draw width and height of images on logarithmic axes; nothing where no image can be read."""
    sides = np.array([(header.width, header.height) for header in summary.headers if header.format], dtype=float)
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
        axes.scatter(centre[column], centre[row], s=area, color=numbered(2).colour, alpha=0.7, linewidths=0)
        axes.set(xscale="log", yscale="log", xlabel="width (pixels)", ylabel="height (pixels)", aspect="equal")
        ticks = nice_ticks(edges[0], edges[-1])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
            axis.set_minor_locator(NullLocator())

    width, height = np.median(sides, axis=0)
    alt = f"Image sizes from {sides.min():.0f} to {sides.max():.0f} pixels a side; medians {width:.0f} x {height:.0f}."
    return [panel("image-sizes", alt, (2.9, 2.6), draw)]


def nice_ticks(low: float, high: float) -> Sequence[int]:
    """Return 1, 2 and 5 times powers of ten inside a range, if there are three; else its ends and middle."""
    ticks = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    middle = float(np.sqrt(low * high))
    return inside if len(inside) > 2 else sorted({max(1, round(each)) for each in (low, middle, high)})
