"""A comparison as a page."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from experiments.comparison_tables import READING
from experiments.glance import Glance
from experiments.pages import dataset_section, discussion, figures, fusion, overview, results, systems_section
from experiments.pages.document import Bullets, Figure, Page, Section
from experiments.results.reading import Findings
from extract import places


def page(findings: Findings, glance: Glance | None, images: bool, reports: Path) -> Page:
    """glance: the dataset, where it is at hand; images: show memes' images; reports: where systems may lie."""
    parts: list[Callable[[], Section | None]] = [partial(overview.section, findings)]
    parts += [partial(dataset_section.section, glance, images)] if glance else []
    parts += [partial(results.section, findings, split) for split in results.splits(findings)]
    parts += [
        partial(fusion.section, findings, glance, images),
        partial(fusion.slices, findings),
        partial(learning, findings),
        partial(systems_section.section, reports),
        partial(discussion.section, findings),
        reading,
    ]
    opening = overview.in_short(findings)
    sections = [part() for part in tqdm(parts, "drawing", leave=False, disable=None, delay=0.5)]
    text, image = (findings.comparison.encoders[side]["name"] for side in ("text", "image"))
    memes = sum(size.memes for size in findings.comparison.splits)
    where = f" of {places.name(glance.folder)}" if glance else ""
    subtitle = f"{text} and {image}, frozen, with light heads on {memes:,} memes{where}"
    return Page("Text, image or both?", subtitle, [section for section in sections if section], opening)


def learning(findings: Findings) -> Section | None:
    """Learning curves; None where no model file is left."""
    if not findings.history:
        return None
    curves = findings.history.items()
    panels = [figures.losses(f"loss-{head}", head, history) for head, history in curves]
    panels += [figures.dev_auc(f"dev-auc-{head}", head, history) for head, history in curves]
    caption = (
        "A line for each seed; dashed: on train, with dropout; solid: on dev. A run stops when dev's AUC-ROC "
        "has not risen for as many epochs as its patience; the marked epoch's weights are kept."
    )
    return Section("Learning curves", "learning", [Figure(caption, panels)])


def reading() -> Section:
    return Section("How to read this", "reading", [Bullets([" ".join(each.split()) for each in READING.split("\n\n")])])
