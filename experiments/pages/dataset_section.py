"""The dataset at a glance, as a section of a page."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas

from experiments.glance import Glance, Split, misnamed
from experiments.layout import Table
from experiments.pages.document import Block, Bullets, Card, Figure, Gallery, Grid, Panel, Paragraph, Section
from experiments.pages.ink import FAINT, INK, LOOKS, panel
from experiments.pages.thumbnails import thumbnail

EXAMPLES = 12  # of each label
FAULTS = 20  # named one by one
BUBBLES = 22  # bins of each axis of the image sizes
LABELS = {1: "label 1", 0: "label 0", None: "no label"}
COLOURS = {1: LOOKS["image"].colour, 0: LOOKS["text"].colour, None: FAINT}
HATCHES = {1: "", 0: "////", None: "...."}


def section(glance: Glance, images: bool) -> Section:
    blocks: list[Block] = [Grid(splits_table(glance))]
    blocks += [Bullets(sentences)] if (sentences := remarks(glance)) else []
    blocks.append(
        Figure(
            "Class balance, words in a text, and images by width and height (a disc's area is its number of images).",
            [balance(glance), words(glance), *sizes(glance)],
        )
    )
    blocks += [Grid(formats_table(glance)), *overlap(glance), *faults(glance)]
    if images:
        blocks.append(examples(glance))
    return Section("The dataset at a glance", "dataset", blocks)


def splits_table(glance: Glance) -> Table:
    header = ["split", "memes", "label 1", "label 0", "no label", "share of 1", "words (median)", "5% to 95%", "no text"]
    header += ["distinct texts", "left out"]
    return Table("Splits", header, [split_row(split) for split in glance.splits])


def split_row(split: Split) -> list[str]:
    count = word_counts(split)
    low, middle, high = np.quantile(count, (0.05, 0.5, 0.95)) if len(count) else (0, 0, 0)
    labelled = len(split.labelled)
    counts = [len(split.memes), split.positive, labelled - split.positive, len(split.memes) - labelled]
    share = f"{split.positive / labelled:.0%}" if labelled else ""
    empty = sum(not meme.text.strip() for meme in split.memes)
    texts = len({meme.text for meme in split.memes})
    return [split.name, *(f"{each:,}" for each in counts), share, f"{middle:.0f}", f"{low:.0f} to {high:.0f}"] + [
        f"{each:,}" for each in (empty, texts, len(split.faults))
    ]


def word_counts(split: Split) -> np.ndarray:
    """Words are what white space separates."""
    return np.array([len(meme.text.split()) for meme in split.memes], dtype=int)


def remarks(glance: Glance) -> list[str]:
    """What a reader of the tables should not overlook."""
    found = []
    for split in glance.splits:
        classes = {meme.label for meme in split.labelled}
        if not classes:
            found.append(f"{split.name} has no labels: it can be predicted, not scored.")
        elif len(classes) == 1:
            found.append(f"{split.name} holds label {classes.pop()} only: AUC-ROC is undefined on it.")
        if both := glance.both_labels[split.name]:
            found.append(
                f"{both:,} memes of {split.name} carry a text that occurs in it under either label: only the image can "
                "tell them apart."
            )
    return found


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
                    range(len(splits)), share, left=left, color=COLOURS[label], hatch=HATCHES[label], label=name, height=0.6
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
    return panel("class-balance", f"Class balance. {said}.", (4.6, 1.2 + 0.34 * len(splits)), draw)


def words(glance: Glance) -> Panel:
    """How many words texts have, by label; each label's bars add up to 1, the longest texts share the last one."""
    memes = glance.memes
    by_label = {
        label: np.array([len(meme.text.split()) for meme in memes if meme.label == label], dtype=int) for label in LABELS
    }
    everyone = np.concatenate(list(by_label.values()))
    cap = int(np.quantile(everyone, 0.995)) + 1 if len(everyone) else 1
    edges = np.arange(0, cap + 2, max(1, round(cap / 30)))

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for (label, count), dash in zip(by_label.items(), ("-", "--", ":"), strict=True):
            if len(count):
                share = np.histogram(np.minimum(count, edges[-1]), edges)[0] / len(count)
                axes.stairs(share, edges, color=COLOURS[label] if label is not None else INK, linestyle=dash,
                            label=LABELS[label], linewidth=1.6)  # fmt: skip
        axes.set(xlabel="words in a text (the last step: that many or more)", ylabel="share of the label's memes")
        axes.legend(loc="upper right")

    medians = ", ".join(f"{LABELS[label]} {np.median(count):.0f}" for label, count in by_label.items() if len(count))
    return panel("words", f"Words in a text; medians: {medians}.", (4.6, 2.6), draw)


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
            axis.set_minor_locator(_no_ticks())

    width, height = np.median(sides, axis=0)
    said = f"Image sizes from {sides.min():.0f} to {sides.max():.0f} pixels a side; medians {width:.0f} x {height:.0f}."
    return [panel("image-sizes", said, (3.6, 3.2), draw)]


def nice_ticks(low: float, high: float) -> list[int]:
    """1, 2 and 5 times powers of ten inside a range; its ends where there are none."""
    ticks = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high] or [max(1, round(low)), round(high)]


def _no_ticks():  # type: ignore[no-untyped-def]
    from matplotlib.ticker import NullLocator

    return NullLocator()


def formats_table(glance: Glance) -> Table:
    """Formats by what is inside files, with modes, sizes and bytes."""
    rows = []
    for name, number in Counter(picture.format for picture in glance.pictures).most_common():
        of_format = [picture for picture in glance.pictures if picture.format == name]
        modes = ", ".join(f"{mode} {count:,}" for mode, count in Counter(each.mode for each in of_format).most_common())
        median = np.median([(each.width, each.height) for each in of_format], axis=0)
        weight = np.array([each.size for each in of_format]) / 1000
        rows.append(
            [name or "cannot be read", f"{number:,}", modes if name else ""]
            + [f"{median[0]:.0f} x {median[1]:.0f}" if name else "", f"{np.median(weight):,.0f}", f"{weight.max():,.0f}"]
        )
    header = ["format", "images", "modes", "median size (pixels)", "median kB", "largest kB"]
    return Table("Image files, by what is inside them", header, rows)


def overlap(glance: Glance) -> list[Block]:
    if len(glance.splits) < 2:
        return []
    if not glance.shared:
        return [Paragraph("No two splits share an id, a text or an image file.")]
    rows = [
        [f"{each.one} and {each.other}", f"{each.ids:,}", f"{each.texts:,}", f"{each.images:,}"] for each in glance.shared
    ]
    return [Grid(Table("What splits share", ["splits", "ids", "equal texts", "byte-identical images"], rows))]


def faults(glance: Glance) -> list[Block]:
    """Rows and files that cannot be used, by name."""
    said = [str(fault) for split in glance.splits for fault in split.faults]
    said += [
        f"{split.name}  {meme.id}  {meme.image.name}: {picture.reason}"
        for split in glance.splits
        for meme, picture in zip(split.memes, split.pictures, strict=True)
        if picture.reason
    ]
    said += [
        f"{count:,} files named {ending} hold {inside}; they are read all the same."
        for (ending, inside), count in misnamed(glance.splits).most_common()
    ]
    more = [f"and {len(said) - FAULTS:,} more"] if len(said) > FAULTS else []
    return [Paragraph("Rows and files to know of:"), Bullets(said[:FAULTS] + more)] if said else []


def examples(glance: Glance) -> Gallery:
    """Memes of each label from the first split that has any, drawn by lot; the same ones every time."""
    split = glance.splits[0]
    lot = random.Random(0)
    cards = []
    for label in LABELS:
        there = [place for place, meme in enumerate(split.memes) if meme.label == label and split.pictures[place].format]
        cards += cards_of(split, sorted(lot.sample(there, min(EXAMPLES, len(there)))))
    return Gallery(f"Memes of {split.name}, drawn by lot from each label", cards)


def cards_of(split: Split, places: Sequence[int]) -> list[Card]:
    return [
        Card(meme.id, split.name, LABELS[meme.label], meme.text, thumbnail(meme, split.pictures[place]))
        for place in places
        for meme in [split.memes[place]]
    ]
