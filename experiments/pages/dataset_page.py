"""A dataset as a page of its own."""

from experiments.glance import Glance
from experiments.pages import dataset_section
from experiments.pages.document import Page
from extract import places


def page(glance: Glance, images: bool) -> Page:
    name = places.name(glance.folder)
    splits = ", ".join(split.name for split in glance.splits)
    subtitle = f"{len(glance.memes):,} memes in {splits}"
    return Page(f"Memes of {name}", subtitle, [dataset_section.section(glance, images)])
