"""A comparison as a page: what was compared, its outcome in short, and what heads score on each split."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.dataset_summary import DatasetSummary
from experiments.evaluate import curves
from experiments.pages import boards, dataset, discussion, figures, fusion, moderation
from experiments.pages import learning as labels
from experiments.pages.document import (
    Block,
    Bullets,
    Conclusions,
    Drawings,
    Grid,
    Page,
    Paragraph,
    Section,
    Tile,
    Tiles,
)
from experiments.pages.drawing import tone
from experiments.results import answers
from experiments.results.folder import Results, SplitPredictions
from experiments.results.records import NOT_IN_TRAIN, Row
from experiments.tables import Table
from experiments.words import bare, interval
from experiments.words.comparison import READING, heading, undefined
from experiments.words.comparison import summary as conclusions_of
from experiments.words.comparison_tables import linear_table, main_table, others_table, tuned_table
from extract import places


def page(results: Results, summary: DatasetSummary | None, images: bool, reports: Path, quiet: bool = True) -> Page:
    """summary: of the dataset, where it is at hand; images: show memes' images; reports: where systems may lie."""
    parts: list[Callable[[], Section | None]] = [partial(compared, results)]
    parts += [partial(dataset.section, summary, images)] if summary else []
    # test splits first
    splits = sorted(results.predicted, key=lambda split: not split.startswith("test"))
    parts += [partial(split_section, results, split) for split in splits]
    parts += [
        partial(fusion.section, results, summary, images),
        partial(fusion.ablation, results),
        partial(fusion.slices, results),
        *(partial(moderation.by_field, results, each) for each in answers.sliced(reports, results.comparison.run)),
        partial(moderation.section, results, reports),
        partial(labels.section, results, reports),
        partial(learning, results),
        partial(boards.section, reports),
        partial(systems, reports),
        partial(discussion.section, results),
        reading,
    ]
    opening = in_short(results)
    shown = tqdm(parts, "drawing", leave=False, disable=quiet or None, delay=0.5)
    sections = [section for part in shown if (section := part())]
    encoders = " and ".join(encoder.name for encoder in results.comparison.encoders.values() if encoder.dim)
    memes = sum(size.memes for size in results.comparison.splits)
    where = f" of {places.name(summary.folder)}" if summary else ""
    subtitle = f"{encoders}, frozen, with light heads on {memes:,} memes{where}"
    return Page("Text, image or both?", subtitle, sections, opening)


def in_short(results: Results) -> list[Block]:
    """Return the judged split's AUC-ROC of every head, the conclusions, and both as drawings."""
    split = results.judged
    rows = results.rows(split)
    areas = {head: results.auc(head, split) for head in results.heads}
    tiles = [Tile(head, bare(area.mean), interval(area) or "no interval", tone(head)) for head, area in areas.items()]
    luck = "memes and seeds" if results.comparison.seeds > 1 else "memes"
    panels = [figures.forest(list(rows.values()), split)]
    if by_rank := [pair for pair in results.comparison.pairs if pair.measure == "auc_roc"]:
        panels.append(figures.gains(by_rank))
    return [
        Tiles(f"AUC-ROC on {split}, mean over seeds, 95% interval over {luck}", tiles),
        Conclusions(conclusions_of(results.comparison)),
        Drawings(f"Every head and reference on {split}, and what fusing text and image gains.", panels),
    ]


def compared(results: Results) -> Section:
    comparison = results.comparison
    seeds = "seed 0" if comparison.seeds == 1 else f"seeds 0 to {comparison.seeds - 1}"
    facts = [
        f"Runs: {seeds} of each head. Dev's AUC-ROC decides when a run stops, dev's macro-F1 its second threshold; "
        "test decides nothing.",
        "Probabilities are as the heads give them."
        if comparison.calibration == "none"
        else f"Probabilities are recalibrated on dev ({comparison.calibration}).",
        *comparison.notes,
        versions(results),
    ]
    grids = [
        Grid(data_table(results)),
        Grid(encoder_table(results)),
        Grid(settings_table(results)),
        Grid(reference_table(results)),
    ]
    shown = [grid for grid in grids if grid.table.rows]
    return Section("What was compared", "compared", [*shown, Bullets(facts)])


def data_table(results: Results) -> Table:
    rows = []
    for size in results.comparison.splits:
        counts = [f"{count:,}" for count in (size.memes, size.labelled, size.positive)]
        share = f"{size.positive / size.labelled:.0%}" if size.labelled else ""
        rows.append([size.name, *counts, share, f"{size.texts:,}"])
    return Table("Data", ["split", "memes", "with a label", "label 1", "share of 1", "distinct texts"], rows)


def encoder_table(results: Results) -> Table:
    rows = []
    for side, encoder in results.comparison.encoders.items():
        for part in encoder.parts if encoder.dim else ():  # else left out
            settings = ", ".join(
                f"{key} {shortened(value)}" for key, value in part.settings.items() if key not in ("name", "kind")
            )
            rows.append([side, part.name, f"{part.dim:,}", settings, part.fingerprint[:16]])
    header = ["side", "encoder", "dims", "settings", "fingerprint"]
    return Table("Frozen encoders", header, rows, words=(0, 1, 3, 4))


def shortened(value: object) -> str:
    """Return a setting's value; the first digits of a digest."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def settings_table(results: Results) -> Table:
    """Return each head's settings, and what its runs came to."""
    by_head = results.comparison.settings
    names = list(dict.fromkeys(name for settings in by_head.values() for name in settings))
    rows = [[name.replace("_", " "), *(str(by_head[head].get(name, "")) for head in by_head)] for name in names]
    runs = {head: [run for run in results.records if run.head == head] for head in by_head}
    epochs = {head: sorted({run.best_epoch for run in runs[head]}) for head in by_head}
    spans = [f"{each[0]} to {each[-1]}" if len(each) > 1 else f"{each[0]}" for each in epochs.values()]
    rows.append(["epochs kept", *spans])
    rows.append(["seconds of training, all runs", *(f"{runs[head][0].seconds:.1f}" for head in by_head)])
    return Table("Heads", ["", *by_head], rows)


def reference_table(results: Results) -> Table:
    settings = {run.head: run.settings for run in results.records if run.kind == "reference"}
    rows = [[name, ", ".join(f"{key} {value:g}" for key, value in its.items())] for name, its in settings.items()]
    rows = [row for row in rows if row[1]]
    return Table("References, and what dev chose for them", ["reference", "chosen"], rows, words=(0, 1))


def versions(results: Results) -> str:
    comparison = results.comparison
    parts = [f"memefuse {comparison.code}"]
    parts += [f"{library} {version}" for library, version in comparison.versions.items() if library != "memefuse"]
    sentences = f"Trained on {comparison.device}, products in {comparison.precision}, with {', '.join(parts)}."
    for side, encoder in comparison.encoders.items():
        made = ", ".join(f"{library} {version}" for library, version in encoder.versions.items())
        sentences += f" The {side} vectors were made with {made}." if made else ""
    return sentences


def split_section(results: Results, split: str) -> Section:
    """Show what heads score on one split; of a split without labels, what they predict."""
    size, rows = results.size(split), results.rows(split)
    title = f"Results on {heading(size)}"
    if not rows:
        return Section(title, f"results-{split}", predictions_only(results, split))
    every = list(rows.values())
    blocks: list[Block] = []
    if split.startswith("dev"):
        blocks.append(Paragraph("Dev chose epochs and thresholds: its figures flatter."))
    blocks.append(Grid(main_table(every, "At threshold 0.5: mean ± standard deviation over seeds")))
    blocks += [Paragraph(sentence) for sentence in undefined(every)]
    predicted = results.predicted[split]
    diverged = [head for head in results.heads if np.isnan(predicted.heads[head].by_run).any()]
    points = {
        head: [curves.mean_counts(results.records, head, split, tuned) for tuned in (False, True)]
        for head in results.heads
        if head not in diverged
    }
    if diverged:
        blocks.append(Paragraph(f"No figures of {' and '.join(diverged)}: training diverged."))
    if points:
        blocks.append(curve_drawings(predicted, rows, points))
    blocks.append(Grid(tuned_table(every, "At the threshold tuned on dev, and calibration")))
    comparison = results.comparison
    for part in (size for size in comparison.unseen if size.name == split + NOT_IN_TRAIN):
        blocks.append(Grid(main_table(list(results.rows(part.name).values()), heading(part))))
    if others := [pair for pair in comparison.other_pairs if pair.split == split]:
        blocks.append(Grid(others_table(others)))
    if linear := [pair for pair in comparison.linear if pair.split == split]:
        blocks.append(Grid(linear_table(linear)))
    if not points:
        return Section(title, f"results-{split}", blocks)
    confusions = [figures.confusion(split, head, counts, rows[head].threshold) for head, counts in points.items()]
    calibrations = [figures.calibration(predicted, head, rows[head]) for head in points]
    blocks += [
        Drawings(
            f"Confusion on {split}: memes (mean over seeds) by their label and by what they are called, at 0.5 and at "
            "dev's threshold. Shares are of the label's memes.",
            confusions,
        ),
        Drawings(
            f"Calibration on {split}: of the memes given about the same probability, how many have label 1 (seeds "
            f"pooled, {curves.BINS} bins, 95% intervals). On the dotted line probabilities can be taken at their word; "
            "below it they are too high. Bars: how many memes a bin holds.",
            calibrations,
        ),
    ]
    return Section(title, f"results-{split}", blocks)


def curve_drawings(predicted: SplitPredictions, rows: Mapping[str, Row], points: figures.Points) -> Block:
    positive = predicted.positive[predicted.labelled]
    if positive.all() or not positive.any():
        return Paragraph(f"{predicted.split} holds one label only: it has no ROC or precision-recall curve.")
    caption = (
        f"ROC and precision-recall curves on {predicted.split}, each the mean over seeds. Hollow marks: at 0.5; "
        "filled: at the threshold tuned on dev. Dotted: a head that knows nothing."
    )
    return Drawings(caption, [draw(predicted, rows, points) for draw in (figures.roc, figures.precision_recall)])


def predictions_only(results: Results, split: str) -> list[Block]:
    """Show what heads say of a split without labels, and nothing about whether it is true."""
    predicted = results.predicted[split]
    heads = [predicted.heads[head] for head in results.heads]
    rows = [[each.name, f"{each.probability.mean():.3f}", f"{each.says_one.mean():.0%}"] for each in heads]
    table = Table("Predicted, not scored: there are no labels", ["", "mean probability", "called 1 at 0.5"], rows)
    caption = f"Probabilities on {split}. Each meme's is in predictions_{split}.csv."
    return [Grid(table), Drawings(caption, [figures.probabilities(predicted, results.heads)])]


def learning(results: Results) -> Section | None:
    """Show learning curves; None where no model file is left."""
    if not results.history:
        return None
    panels = [
        draw(head, curve) for draw in (figures.losses, figures.dev_auc) for head, curve in results.history.items()
    ]
    caption = (
        "A line for each seed; dashed: on train, with dropout; solid: on dev. A run stops when dev's AUC-ROC "
        "has not risen for as many epochs as its patience; the marked epoch's weights are kept."
    )
    return Section("Learning curves", "learning", [Drawings(caption, panels)])


def systems(reports: Path) -> Section | None:
    """Show what `experiments.systems table` shows, from its records alone; None where no system was run."""
    if not (reports / "systems").is_dir():
        return None
    from experiments.systems import tables as of_systems  # here: few reports have systems, which bring much with them

    parts = []
    for number, each in enumerate(of_systems.recorded(reports)):
        blocks: list[Block] = [Grid(each.reached), Grid(each.how)]
        blocks += [Grid(each.pairs)] if each.pairs else []
        parts.append(Section(each.heading, f"systems-{number}", [*blocks, Bullets(each.notes)]))
    if not parts:
        return None
    reading = [" ".join(paragraph.split()) for paragraph in of_systems.READING.split("\n\n")]
    return Section("Published systems", "systems", [Bullets(reading)], parts)


def reading() -> Section:
    paragraphs = [" ".join(each.split()) for each in READING.split("\n\n")]
    return Section("How to read this", "reading", [Bullets(paragraphs)])
