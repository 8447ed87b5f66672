"""The dataset at a glance, as a section of a page."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

from experiments.glance import Glance, Split, misnamed
from experiments.pages.dataset_figures import LABELS, balance, sizes, words
from experiments.pages.document import Block, Bullets, Card, Figure, Gallery, Grid, Paragraph, Section
from experiments.pages.thumbnails import thumbnail
from experiments.tables import Table

EXAMPLES = 8  # of each label
FAULTS = 20  # named one by one
UNREADABLE = "cannot be read"
RARE = ("no label", "no text", "unusable rows")


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
    header = ["split", "memes", "label 1", "label 0", "no label", "share of 1", "words (median)", "5% to 95%"]
    header += ["distinct texts", "no text", "unusable rows"]
    rows = [split_row(split) for split in glance.splits]
    # columns of faults that nothing has are not worth a look
    shown = [place for place, name in enumerate(header) if name not in RARE or any(row[place] != "0" for row in rows)]
    return Table("Splits", [header[place] for place in shown], [[row[place] for place in shown] for row in rows])


def split_row(split: Split) -> list[str]:
    count = word_counts(split)
    low, middle, high = np.quantile(count, (0.05, 0.5, 0.95)) if len(count) else (0, 0, 0)
    labelled = len(split.labelled)
    counts = [len(split.memes), split.positive, labelled - split.positive, len(split.memes) - labelled]
    share = f"{split.positive / labelled:.0%}" if labelled else ""
    empty = sum(not meme.text.strip() for meme in split.memes)
    texts = len({meme.text for meme in split.memes})
    return [split.name, *(f"{each:,}" for each in counts), share, f"{middle:.0f}", f"{low:.0f} to {high:.0f}"] + [
        f"{each:,}" for each in (texts, empty, len(split.faults))
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
    if any(glance.both_labels.values()):
        counts = ", ".join(f"{count:,} in {split}" for split, count in glance.both_labels.items() if count)
        found.append(
            f"Some memes have a text that occurs in their split under either label ({counts}): only the image can tell "
            "them apart."
        )
    return found


def formats_table(glance: Glance) -> Table:
    """Formats by what is inside files, with modes, sizes and bytes."""
    rows = []
    for name, number in Counter(picture.format for picture in glance.pictures).most_common():
        of_format = [picture for picture in glance.pictures if picture.format == name]
        modes = ", ".join(f"{mode} {count:,}" for mode, count in Counter(each.mode for each in of_format).most_common())
        median = np.median([(each.width, each.height) for each in of_format], axis=0)
        weight = np.array([each.size for each in of_format]) / 1000
        size = f"{median[0]:.0f} x {median[1]:.0f}"
        bytes_of = [f"{np.median(weight):,.0f}", f"{weight.max():,.0f}"]
        inside = [name, f"{number:,}", modes, size] if name else [UNREADABLE, f"{number:,}", "", ""]
        rows.append(inside + bytes_of)
    header = ["format", "images", "modes", "median size (pixels)", "median kB", "largest kB"]
    return Table("Image files, by what is inside them", header, rows)


def overlap(glance: Glance) -> list[Block]:
    if len(glance.splits) < 2:
        return []
    if not glance.shared:
        return [Paragraph("No two splits share an id, a text or an image file.")]
    rows = [
        [f"{each.one} and {each.other}", f"{each.ids:,}", f"{each.texts:,}", f"{each.images:,}"]
        for each in glance.shared
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
        there = [
            place for place, meme in enumerate(split.memes) if meme.label == label and split.pictures[place].format
        ]
        cards += cards_of(split, sorted(lot.sample(there, min(EXAMPLES, len(there)))))
    return Gallery(f"Memes of {split.name}, drawn by lot from each label", cards)


def cards_of(split: Split, places: Sequence[int]) -> list[Card]:
    return [
        Card(meme.id, split.name, LABELS[meme.label], meme.text, thumbnail(meme, split.pictures[place]))
        for place in places
        for meme in [split.memes[place]]
    ]
