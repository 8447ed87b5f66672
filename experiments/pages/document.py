"""A page as data: sections of blocks. html.py and markdown.py each know how to write every kind of block."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from experiments.tables import Table


@dataclass(frozen=True)
class Paragraph:
    text: str
    kind = "paragraph"


@dataclass(frozen=True)
class Bullets:
    sentences: Sequence[str]
    kind = "bullets"


@dataclass(frozen=True)
class Verdict:
    """What to remember when nothing else is read."""

    sentences: Sequence[str]
    kind = "verdict"


@dataclass(frozen=True)
class Tile:
    """One figure, large."""

    name: str
    value: str
    detail: str


@dataclass(frozen=True)
class Tiles:
    caption: str
    tiles: Sequence[Tile]
    kind = "tiles"


@dataclass(frozen=True)
class Grid:
    """A table; its title is the caption."""

    table: Table
    words: frozenset[int] = frozenset({0})  # columns of words, aligned left; the others hold figures
    kind = "grid"


@dataclass(frozen=True)
class Panel:
    """One drawing, in an SVG that takes its colours from the page around it."""

    name: str  # unique on the page; the file's name beside Markdown
    svg: str
    width: float  # CSS pixels
    says: str  # what it shows, for those who cannot see it


@dataclass(frozen=True)
class Figure:
    """Drawings that share a caption."""

    caption: str
    panels: Sequence[Panel]
    kind = "figure"


@dataclass(frozen=True)
class Thumbnail:
    uri: str  # data:image/jpeg;base64,...
    width: int  # CSS pixels
    height: int


@dataclass(frozen=True)
class Opinion:
    """What one head says of one meme."""

    head: str
    probability: str
    right: bool | None  # None where there is no label


@dataclass(frozen=True)
class Card:
    """A meme."""

    id: str
    split: str
    label: str
    text: str | None  # None: the dataset is not at hand
    thumbnail: Thumbnail | None
    opinions: Sequence[Opinion] = ()


@dataclass(frozen=True)
class Gallery:
    """Memes side by side, their images blurred until clicked."""

    caption: str
    cards: Sequence[Card]
    kind = "gallery"


Block = Paragraph | Bullets | Verdict | Tiles | Grid | Figure | Gallery


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
    opening: Sequence[Block] = field(default=())

    @property
    def blocks(self) -> list[Block]:
        """Every block in reading order."""
        found = list(self.opening)
        for section in self.sections:
            found += [*section.blocks, *(block for part in section.parts for block in part.blocks)]
        return found

    @property
    def panels(self) -> list[Panel]:
        return [panel for block in self.blocks if isinstance(block, Figure) for panel in block.panels]

    @property
    def has_images(self) -> bool:
        return any(isinstance(block, Gallery) and any(card.thumbnail for card in block.cards) for block in self.blocks)
