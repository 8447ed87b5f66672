"""What fusing changed: how often heads agree, which memes only the fusion gets right or wrong, slices."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from experiments.dataset_summary import DatasetSummary, ImageHeader
from experiments.evaluate.resampling import FEWEST
from experiments.pages import figures
from experiments.pages.dataset import LABELS, thumbnail
from experiments.pages.document import Answer, Block, Card, Drawings, Gallery, Grid, Paragraph, Section
from experiments.results.folder import Results, SplitPredictions
from experiments.tables import Table
from experiments.words import bare, counted
from experiments.words.comparison import no_fusion
from experiments.words.comparison_tables import (
    ABLATION_TITLE,
    FUSIONS_TITLE,
    IN_BRACKETS,
    ablation_table,
    pairs_table,
    slices_table,
)
from extract.dataset import Meme
from heads.models import HEADS

SHOWN = 6  # memes of a gallery
Memes = dict[str, tuple[Meme, ImageHeader]]  # by id; empty where the dataset is not at hand


def single_heads(results: Results) -> dict[str, str]:
    """Return by side the head that looks at it alone; of several, the best on dev."""
    best: dict[str, str] = {}
    for head in results.heads:
        if head in HEADS and not HEADS[head].fuses:
            [side] = HEADS[head].sides
            best[side] = max(best.get(side, head), head, key=lambda each: results.auc(each, results.dev).mean)
    return best


def fusions(results: Results) -> list[str]:
    return [head for head in results.heads if head in HEADS and HEADS[head].fuses]


def section(results: Results, dataset: DatasetSummary | None, images: bool) -> Section:
    """dataset: where it is at hand; images: show memes' images."""
    blocks: list[Block] = []
    if results.comparison.pairs:
        blocks.append(Grid(pairs_table(results.comparison.pairs, FUSIONS_TITLE)))
        blocks.append(Paragraph(IN_BRACKETS))
    else:
        blocks.append(Paragraph(no_fusion()))
    if len(results.heads) > 1:
        blocks += [Grid(agreement(predicted, results.heads)) for predicted in shown_splits(results)]
    parts = [
        changed(results, split, dataset.find(split) if dataset else {}, images) for split in results.comparison.judged
    ]
    return Section("What fusion changed", "fusion", blocks, [part for part in parts if part.blocks])


def shown_splits(results: Results) -> list[SplitPredictions]:
    """Return the judged splits, and those without labels: agreement needs none."""
    unlabelled = [size.name for size in results.comparison.splits if size.memes and not size.labelled]
    return [results.predicted[split] for split in [*results.comparison.judged, *unlabelled]]


def agreement(predicted: SplitPredictions, heads: Sequence[str]) -> Table:
    """Return how often two heads, by their mean probabilities at 0.5, call a meme the same."""
    calls = {head: predicted.heads[head].says_one for head in heads}
    rows = [
        [one, *("" if one == other else f"{(calls[one] == calls[other]).mean():.0%}" for other in heads)]
        for one in heads
    ]
    return Table(f"How often heads agree on {predicted.split} (at 0.5)", ["", *heads], rows)


def changed(results: Results, split: str, memes: Memes, images: bool) -> Section:
    """Show what each fusion made of what text and image say alone."""
    predicted = results.predicted[split]
    singles = list(single_heads(results).values())
    blocks: list[Block] = []
    if len(singles) == 2 and fusions(results):
        blocks.append(Grid(arbitration(predicted, singles, fusions(results))))

    def gallery(head: str, mask: Bool[np.ndarray, " meme"], what: str) -> Block:
        """Show the memes of a mask on which `head` is surest; a sentence where there is none."""
        places = np.flatnonzero(mask)
        caption = f"{what}: {counted(len(places), 'meme')}"
        if not len(places):
            return Paragraph(f"{caption}.")
        surest = np.argsort(-np.abs(predicted.heads[head].probability[places] - 0.5), kind="stable")[:SHOWN]
        if len(places) > SHOWN:
            caption += f"; those on which {head} is surest"
        return Gallery(caption, [card(results, predicted, int(place), memes, images) for place in places[surest]])

    if singles:
        others = f"{' and '.join(singles)} are both" if len(singles) == 2 else f"{singles[0]} is"
        for fusion in fusions(results):
            right, wrong = alone(predicted, fusion, singles)
            blocks.append(gallery(fusion, right, f"{fusion} is right where {others} wrong"))
            blocks.append(gallery(fusion, wrong, f"{fusion} is wrong where {others} right"))
    if len(results.heads) > 1:
        nobody = ~np.logical_or.reduce([predicted.right(head) for head in results.heads]) & predicted.labelled
        blocks.append(gallery(results.heads[-1], nobody, "No head is right"))
    return Section(f"Memes of {split}, one by one", f"changed-{split}", blocks)


def arbitration(predicted: SplitPredictions, singles: Sequence[str], fusions: Sequence[str]) -> Table:
    """Return how often a fusion is right, by whether the heads of the two sides are."""
    one, other = singles
    one_right, other_right, labelled = predicted.right(one), predicted.right(other), predicted.labelled
    rows = []
    for name, mask in (
        ("both are right", one_right & other_right),
        (f"only {one} is right", one_right & ~other_right),
        (f"only {other} is right", ~one_right & other_right),
        ("neither is right", ~one_right & ~other_right & labelled),
    ):
        count = int(mask.sum())
        shares = [f"{(predicted.right(head) & mask).sum() / count:.0%}" if count else "" for head in fusions]
        rows.append([name, f"{count:,}", *shares])
    both = f"{one} and {other} alone"
    title = f"Whom fusion believes: how often it is right on {predicted.split}, by what {both} get right"
    return Table(title, [both, "memes", *fusions], rows)


def alone(
    predicted: SplitPredictions, fusion: str, singles: Sequence[str]
) -> tuple[Bool[np.ndarray, " meme"], Bool[np.ndarray, " meme"]]:
    """Return masks of memes that the fusion gets right and no single head does, and the reverse."""
    right = predicted.right(fusion)
    of_singles = np.array([predicted.right(head) for head in singles])
    return right & ~of_singles.any(axis=0), ~right & of_singles.all(axis=0)


def card(results: Results, predicted: SplitPredictions, place: int, memes: Memes, images: bool) -> Card:
    answers = [
        Answer(head, bare(float(predicted.heads[head].probability[place])), bool(predicted.right(head)[place]))
        for head in results.heads
    ]
    name, label = predicted.ids[place], LABELS[int(predicted.label[place])]
    if name not in memes:
        return Card(name, label, None, None, answers)
    meme, header = memes[name]
    return Card(name, label, meme.text, thumbnail(meme, header) if images else None, answers)


def slices(results: Results) -> Section | None:
    """Show AUC-ROC on parts of the judged splits; None where there is none."""
    blocks: list[Block] = []
    for split in results.comparison.judged:
        pieces = [piece for piece in results.comparison.slices if piece.split == split]
        if pieces:
            drawn = [piece for piece in pieces if any(np.isfinite(its.low) for its in piece.auc_roc.values())]
            caption = f"Where heads do well and badly on {split}; memes in brackets."
            if few := len(pieces) - len(drawn):
                caption += f" Not drawn: {few:,} with fewer than {FEWEST} memes of a label, which have no interval."
            blocks += [Drawings(caption, [figures.slices(drawn, split)])] if drawn else []
            blocks.append(Grid(slices_table(pieces, f"AUC-ROC on slices of {split}")))
    return Section("Slices", "slices", blocks) if blocks else None


def ablation(results: Results) -> Section | None:
    """Show what heads lose without a side; None unless compare was asked for it."""
    blocks: list[Block] = []
    for split in results.comparison.judged:
        if its := [each for each in results.comparison.ablations if each.split == split]:
            caption = f"What is lost of AUC-ROC on {split} without a side: shuffled among memes, and at train's mean."
            blocks.append(Drawings(caption, [figures.ablation(its, how) for how in ("shuffled", "mean")]))
            blocks.append(Grid(ablation_table(its, f"AUC-ROC on {split} without a side")))
    return Section(ABLATION_TITLE, "ablation", blocks) if blocks else None
