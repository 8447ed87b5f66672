"""Published systems that were run on these or other memes, beside memefuse's own heads."""

from pathlib import Path

from experiments.pages.document import Block, Bullets, Grid, Section
from experiments.systems import beside, paired, results, sections, tables

PAIRED_WORDS = frozenset({0, 1, 2, 9})  # columns of paired.table that hold words


def section(reports: Path) -> Section | None:
    """What `experiments.systems table` shows; None where no system was run under `reports`."""
    found = [each for each in results.all_results(reports) if each.system != beside.NAME]
    if not found:
        return None
    own = {each.key: beside.beside(each, reports, "auto") for each in found}
    on_memes = sections.sections(found, own)
    parts = []
    for number, (heading, each) in enumerate(zip(sections.headings(on_memes), on_memes, strict=True)):
        blocks: list[Block] = [Grid(tables.reached(each)), Grid(tables.how(each))]
        if pairs := paired.pairs(each, reports):
            blocks.append(Grid(paired.table(pairs), PAIRED_WORDS))
        parts.append(Section(heading, f"systems-{number}", [*blocks, Bullets(tables.notes(each))]))
    reading = [" ".join(paragraph.split()) for paragraph in tables.READING.split("\n\n")]
    return Section("Published systems", "systems", [Bullets(reading)], parts)
