"""A dataset as a page of its own."""

from experiments.glance import Glance
from experiments.pages import dataset_section
from experiments.pages.document import Page


def page(glance: Glance, images: bool) -> Page:
    name = glance.folder.resolve().name
    splits = ", ".join(split.name for split in glance.splits)
    subtitle = f"{len(glance.memes):,} memes in {splits}"
    return Page(f"Memes of {name}", subtitle, [dataset_section.section(glance, images)])
