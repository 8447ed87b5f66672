"""A page as Markdown; its drawings are files beside it. Images of memes stay out: Markdown cannot blur them."""

import re
from collections.abc import Iterator, Sequence, Set

from experiments import tables
from experiments.pages import document
from experiments.pages.document import Block, Bullets, Gallery, Grid, Page, Panel, Paragraph, Section, Tiles, Verdict
from experiments.tables import Table

FOLDER = "figures"
WORDS = 240  # characters of a meme's text


def markdown(page: Page) -> str:
    lines = [f"# {plain(page.title)}", "", plain(page.subtitle), *written(page.opening)]
    for section in page.sections:
        lines += [*titled(section, "##"), *(line for part in section.parts for line in titled(part, "###"))]
    return "\n".join(lines) + "\n"


def titled(section: Section, mark: str) -> list[str]:
    return ["", f"{mark} {plain(section.title)}", *written(section.blocks)]


def written(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        yield ""
        yield from lines_of(block)


def lines_of(block: Block) -> list[str]:
    match block:
        case Paragraph(text):
            return [plain(text)]
        case Bullets(sentences) | Verdict(sentences):
            return [f"- {plain(sentence)}" for sentence in sentences]
        case Tiles(caption, tiles):
            rows = [[tile.name, tile.value, tile.detail] for tile in tiles]
            return table(Table(caption, ["", "", ""], rows), {0})
        case Grid(grid, words):
            return table(grid, words)
        case document.Figure(caption, panels):
            return [*(picture(panel) for panel in panels), "", f"*{plain(caption)}*"]
        case Gallery(caption):
            return table(gallery_table(block, caption), {0, 1, 2})


def picture(panel: Panel) -> str:
    return f"![{plain(panel.says)}]({FOLDER}/{panel.name}.svg)"


def table(table: Table, words: Set[int]) -> list[str]:
    """A table whose cells are text, whatever they hold. words: columns aligned left."""
    rows = [[plain(cell) for cell in row] for row in table.rows]
    lines = tables.markdown(Table(plain(table.title), [plain(cell) for cell in table.header], rows)).split("\n")
    rule = ["---" if place in words else "---:" for place in range(len(table.header))]
    lines[-len(rows) - 1] = f"| {' | '.join(rule)} |"
    return lines


def gallery_table(gallery: Gallery, caption: str) -> Table:
    heads = [opinion.head for opinion in gallery.cards[0].opinions] if gallery.cards else []
    rows = []
    for card in gallery.cards:
        marks = {True: " ✓", False: " ✗", None: ""}
        opinions = [f"{opinion.probability}{marks[opinion.right]}" for opinion in card.opinions]
        text = "" if card.text is None else card.text[:WORDS] + "…" * (len(card.text) > WORDS)
        rows.append([card.id, text, card.label, *opinions])
    return Table(caption, ["meme", "text", "label", *heads], rows)


def plain(text: str) -> str:
    """Text that shows as itself: no markup, no HTML, no line of its own."""
    one_line = " ".join(text.split())
    harmless = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]~]|(?<=^)[#+-](?= )|!(?=\\?\[))", r"\\\1", harmless)
