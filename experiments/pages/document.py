"""A page as sections of blocks, and how to write it: as one HTML file, and as Markdown with its drawings beside it.

The HTML needs nothing else: no script, no network, no font. Everything that comes from a dataset is escaped by the
template; the page's own policy forbids scripts and requests, so that even a slip there could neither run nor call
anything. Images of memes stay out of Markdown, which cannot blur them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments import tables
from experiments.pages import drawing
from experiments.pages.drawing import Panel
from experiments.tables import Table
from extract.files import write_text

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
FOLDER = "figures"  # of the drawings beside Markdown
CHARACTERS = 240  # of a meme's text that Markdown shows


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    sentences: Sequence[str]


@dataclass(frozen=True)
class Conclusions:
    """What to remember when nothing else is read."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Tile:
    """One figure, large."""

    name: str
    value: str
    detail: str
    tone: str  # CSS colour


@dataclass(frozen=True)
class Tiles:
    caption: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Grid:
    """A table; its title is the caption."""

    table: Table


@dataclass(frozen=True)
class Drawings:
    """Panels that share a caption."""

    caption: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Thumbnail:
    uri: str  # data:image/jpeg;base64,...
    width: int  # CSS pixels
    height: int


@dataclass(frozen=True)
class Answer:
    """What one head says of one meme."""

    head: str
    probability: str
    right: bool | None  # None where there is no label


@dataclass(frozen=True)
class Card:
    """A meme."""

    id: str
    label: str
    text: str | None  # None: the dataset is not at hand
    thumbnail: Thumbnail | None
    answers: Sequence[Answer] = ()


@dataclass(frozen=True)
class Gallery:
    """Memes side by side, their images blurred until clicked."""

    caption: str
    cards: Sequence[Card]


Block = Paragraph | Bullets | Conclusions | Tiles | Grid | Drawings | Gallery


@dataclass(frozen=True)
class Section:
    title: str
    anchor: str
    blocks: Sequence[Block]
    parts: Sequence["Section"] = ()


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    sections: Sequence[Section]
    opening: Sequence[Block] = ()

    @property
    def blocks(self) -> list[Block]:
        """Every block in reading order."""
        sections = [each for section in self.sections for each in (section, *section.parts)]
        return [*self.opening, *(block for section in sections for block in section.blocks)]

    @property
    def panels(self) -> list[Panel]:
        return [panel for block in self.blocks if isinstance(block, Drawings) for panel in block.panels]

    @property
    def has_images(self) -> bool:
        return any(isinstance(block, Gallery) and any(card.thumbnail for card in block.cards) for block in self.blocks)


def publish(page: Page, out: Path, name: str) -> Path:
    """Write <name>.html, <name>.md and figures/*.svg, each whole or not at all. Return the path of the HTML file."""
    for panel in page.panels:
        write_text(out / FOLDER / f"{panel.name}.svg", panel.standalone)
    write_text(out / f"{name}.md", markdown(page))
    write_text(out / f"{name}.html", html(page))
    return out / f"{name}.html"


def html(page: Page) -> str:
    environment = Environment(
        loader=PackageLoader("experiments.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("page.html.jinja")
    tools: dict[str, Any] = {
        "kind": lambda block: type(block).__name__,
        "svg": lambda panel: Markup(panel.svg),  # our own drawing; words from a dataset are escaped in it
        "colours": Markup(drawing.css()),
        "policy": POLICY,
    }
    return template.render(page=page, **tools)


def markdown(page: Page) -> str:
    lines = [f"# {plain(page.title)}", "", plain(page.subtitle), *blocks_markdown(page.opening)]
    for section in page.sections:
        lines += section_markdown(section, "##")
        lines += [line for part in section.parts for line in section_markdown(part, "###")]
    return "\n".join(lines) + "\n"


def section_markdown(section: Section, mark: str) -> list[str]:
    return ["", f"{mark} {plain(section.title)}", *blocks_markdown(section.blocks)]


def blocks_markdown(blocks: Sequence[Block]) -> list[str]:
    return [line for block in blocks for line in ("", *block_markdown(block))]


def block_markdown(block: Block) -> list[str]:
    match block:
        case Paragraph(text):
            return [plain(text)]
        case Bullets(sentences) | Conclusions(sentences):
            return [f"- {plain(sentence)}" for sentence in sentences]
        case Tiles(caption, tiles):
            rows = [[tile.name, tile.value, tile.detail] for tile in tiles]
            return table_markdown(Table(caption, ["", "", ""], rows))
        case Grid(table):
            return table_markdown(table)
        case Drawings(caption, panels):
            pictures = [f"![{plain(panel.alt)}]({FOLDER}/{panel.name}.svg)" for panel in panels]
            return [*pictures, "", f"*{plain(caption)}*"]
        case Gallery():
            return table_markdown(gallery_table(block))


def table_markdown(table: Table) -> list[str]:
    """Return a table whose cells are text, whatever they hold."""
    rows = [[plain(cell) for cell in row] for row in table.rows]
    header = [plain(cell) for cell in table.header]
    return tables.markdown(replace(table, title=plain(table.title), header=header, rows=rows)).split("\n")


def gallery_table(gallery: Gallery) -> Table:
    heads = [answer.head for answer in gallery.cards[0].answers] if gallery.cards else []
    marks = {True: " ✓", False: " ✗", None: ""}
    rows = []
    for card in gallery.cards:
        text = card.text or ""
        shown = text[:CHARACTERS] + "…" * (len(text) > CHARACTERS)
        answers = [f"{answer.probability}{marks[answer.right]}" for answer in card.answers]
        rows.append([card.id, shown, card.label, *answers])
    return Table(gallery.caption, ["meme", "text", "label", *heads], rows, words=(0, 1, 2))


def plain(text: str) -> str:
    """Return text that shows as itself in Markdown: no markup, no HTML, no line of its own."""
    one_line = " ".join(text.split())
    harmless = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]~]|(?<=^)[#+-](?= )|!(?=\\?\[))", r"\\\1", harmless)
