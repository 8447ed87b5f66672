"""Published systems that were run on these or other memes, beside memefuse's own heads."""

from pathlib import Path

from experiments.pages.document import Block, Bullets, Grid, Section
from experiments.tables import PAIR_WORDS


def section(reports: Path) -> Section | None:
    """Show what `experiments.systems table` shows, from its records alone; None where no system was run."""
    if not (reports / "systems").is_dir():
        return None
    from experiments.systems import tables  # here: few reports have systems, which bring much with them

    parts = []
    for number, each in enumerate(tables.recorded(reports)):
        blocks: list[Block] = [Grid(each.reached), Grid(each.how)]
        blocks += [Grid(each.pairs, PAIR_WORDS)] if each.pairs else []
        parts.append(Section(each.heading, f"systems-{number}", [*blocks, Bullets(each.notes)]))
    if not parts:
        return None
    reading = [" ".join(paragraph.split()) for paragraph in tables.READING.split("\n\n")]
    return Section("Published systems", "systems", [Bullets(reading)], parts)
