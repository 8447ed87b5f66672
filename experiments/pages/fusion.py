"""What fusing changed: how often heads agree, which memes only the fusion gets right or wrong, slices."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from experiments import comparison_tables
from experiments.evaluate.tests import FUSION, SINGLE
from experiments.glance import Glance, Picture
from experiments.pages import whiskers
from experiments.pages.dataset_figures import LABELS
from experiments.pages.document import Block, Card, Figure, Gallery, Grid, Opinion, Paragraph, Section
from experiments.pages.thumbnails import thumbnail
from experiments.results.reading import Findings, Predicted
from experiments.tables import Table, bare
from extract.dataset import Meme

SHOWN = 6  # memes of a gallery
Memes = dict[str, tuple[Meme, Picture]]


def section(findings: Findings, glance: Glance | None, images: bool) -> Section:
    comparison = findings.comparison
    blocks: list[Block] = []
    if comparison.pairs:
        table = comparison_tables.pairs_table(comparison.pairs, "Each fusion against the better single modality")
        blocks.append(Grid(table, comparison_tables.PAIR_WORDS))
        blocks.append(
            Paragraph(
                "In brackets after accuracy: memes that only the fusion (+) or only the single head (-) got right."
            )
        )
    else:
        blocks.append(Paragraph("No fusion is judged: that takes early or late, and text or image to compare with."))
    if len(findings.heads) > 1:
        blocks += [Grid(agreement(found, findings.heads)) for found in shown_splits(findings)]
    parts = [changed(findings, split, glance, images) for split in comparison.judged]
    return Section("What fusion changed", "fusion", blocks, [part for part in parts if part.blocks])


def shown_splits(findings: Findings) -> list[Predicted]:
    """The judged splits, and those without labels: agreement needs none."""
    unlabelled = [size.name for size in findings.comparison.splits if size.memes and not size.labelled]
    return [findings.predicted[split] for split in [*findings.comparison.judged, *unlabelled]]


def agreement(found: Predicted, heads: Sequence[str]) -> Table:
    """How often two heads, by their mean probabilities at 0.5, call a meme the same."""
    says = {head: found.opinions[head].says_one for head in heads}
    rows = [
        [one, *("" if one == other else f"{(says[one] == says[other]).mean():.0%}" for other in heads)] for one in heads
    ]
    return Table(f"How often heads agree on {found.split} (at 0.5)", ["", *heads], rows)


def changed(findings: Findings, split: str, glance: Glance | None, images: bool) -> Section:
    """What each fusion made of what text and image say alone."""
    found = findings.predicted[split]
    singles = [head for head in SINGLE if head in findings.heads]
    fusions = [head for head in FUSION if head in findings.heads]
    known = glance.find(split) if glance else {}
    blocks: list[Block] = []
    if len(singles) == 2 and fusions:
        blocks.append(Grid(arbitration(found, fusions)))
    if singles:
        for fusion in fusions:
            right, wrong = alone(found, fusion, singles)
            others = "text and image are both" if len(singles) == 2 else f"{singles[0]} is"
            for mask, what, other in ((right, "right", "wrong"), (wrong, "wrong", "right")):
                caption = f"{fusion} is {what} where {others} {other}: {counted(mask, 'meme')}"
                blocks += gallery(findings, found, fusion, mask, caption, known, images)
    everyone = ~np.logical_or.reduce([found.right(head) for head in findings.heads]) & found.labelled
    if len(findings.heads) > 1:
        caption = f"No head is right: {counted(everyone, 'meme')}"
        blocks += gallery(findings, found, findings.heads[-1], everyone, caption, known, images)
    return Section(f"Memes of {split}, one by one", f"changed-{split}", blocks)


def arbitration(found: Predicted, fusions: Sequence[str]) -> Table:
    """How often a fusion is right, by whether text and image alone are."""
    text, image, labelled = found.right("text"), found.right("image"), found.labelled
    rows = []
    for name, mask in (
        ("both are right", text & image),
        ("only text is right", text & ~image),
        ("only image is right", ~text & image),
        ("neither is right", ~text & ~image & labelled),
    ):
        count = int(mask.sum())
        shares = [f"{(found.right(head) & mask).sum() / count:.0%}" if count else "" for head in fusions]
        rows.append([name, f"{count:,}", *shares])
    title = f"Whom fusion believes: how often it is right on {found.split}, by what text and image alone get right"
    return Table(title, ["text and image alone", "memes", *fusions], rows)


def alone(
    found: Predicted, fusion: str, singles: Sequence[str]
) -> tuple[Bool[np.ndarray, " meme"], Bool[np.ndarray, " meme"]]:
    """Memes that the fusion gets right and no single head does, and the reverse."""
    right = found.right(fusion)
    each = np.array([found.right(head) for head in singles])
    return right & ~each.any(axis=0), ~right & each.all(axis=0)


def gallery(
    findings: Findings, found: Predicted, head: str, mask: Bool[np.ndarray, " meme"], caption: str,
    known: Memes, images: bool,
) -> list[Block]:  # fmt: skip
    """The memes of a mask on which `head` is surest; a sentence where there is none."""
    places = np.flatnonzero(mask)
    if not len(places):
        return [Paragraph(f"{caption}.")]
    surest = np.argsort(-np.abs(found.opinions[head].probability[places] - 0.5), kind="stable")[:SHOWN]
    if len(places) > SHOWN:
        caption += f"; those on which {head} is surest"
    return [Gallery(caption, [card(findings, found, int(place), known, images) for place in places[surest]])]


def counted(mask: Bool[np.ndarray, " meme"], what: str) -> str:
    """1 meme, 2 memes."""
    number = int(mask.sum())
    return f"{number:,} {what}{'s' * (number != 1)}"


def card(findings: Findings, found: Predicted, place: int, known: Memes, images: bool) -> Card:
    """known: memes of the dataset by id, where it is at hand."""
    opinions = [
        Opinion(head, bare(float(found.opinions[head].probability[place])), bool(found.right(head)[place]))
        for head in findings.heads
    ]
    name, label = found.ids[place], LABELS[int(found.label[place])]
    if name not in known:
        return Card(name, found.split, label, None, None, opinions)
    meme, picture = known[name]
    return Card(name, found.split, label, meme.text, thumbnail(meme, picture) if images else None, opinions)


def slices(findings: Findings) -> Section | None:
    """AUC-ROC on parts of the judged splits; None where there is none."""
    blocks: list[Block] = []
    for split in findings.comparison.judged:
        found = [piece for piece in findings.comparison.slices if piece.split == split]
        if found:
            panel = whiskers.slices(f"slices-{split}", found, split)
            blocks += [Figure(f"Where heads do well and badly on {split}; memes in brackets.", [panel])]
            blocks += [Grid(comparison_tables.slices_table(found, f"AUC-ROC on slices of {split}"))]
    return Section("Slices", "slices", blocks) if blocks else None
