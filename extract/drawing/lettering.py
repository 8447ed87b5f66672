"""Captions set onto the sample memes' pictures as memes have them: outlined across, on a band, or under a poster.

One typeface has to do, Pillow's own, so that every machine draws the same; weight, slant, width, case and colour vary.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from extract.drawing.canvas import RGB, Real

Box = tuple[Real, Real, Real, Real]  # left, top, right, bottom

WHITE: Final = (255, 255, 255)
BLACK: Final = (0, 0, 0)
YELLOW: Final = (255, 236, 90)
LEADING: Final = 1.14  # line distance, in em
BASELINE: Final = 0.86  # the first line's baseline below the top of its box, in em
LINE: Final = 1.12  # height of a line, in em, from above the capitals to below the descenders
MARGIN: Final = 4  # pixels kept free in a box, along each side's direction
SMALLEST: Final = 11  # pixels per em; smaller letters cannot be read


@dataclass(frozen=True)
class Layout:
    """Where scene and caption lie. Boxes are in shares of the meme's width and height."""

    scene: Box
    captions: tuple[Box, ...]  # with two of them, half of the words goes to each
    gravity: tuple[Real, ...]  # per caption: 0 hangs from the box's top, 1 stands on its bottom
    ground: RGB
    inks: tuple[RGB, ...]
    outlined: bool
    em: tuple[float, float]  # letter size, share of the meme's shorter side: from, to


LAYOUTS: Final = {
    "above": Layout((0, 0, 1, 1), ((0.02, 0.02, 0.98, 0.36),), (0,), BLACK, (WHITE, WHITE, YELLOW), True, (0.065, 0.1)),
    "below": Layout((0, 0, 1, 1), ((0.02, 0.64, 0.98, 0.98),), (1,), BLACK, (WHITE, WHITE, YELLOW), True, (0.065, 0.1)),
    "both": Layout(
        (0, 0, 1, 1), ((0.02, 0.02, 0.98, 0.3), (0.02, 0.7, 0.98, 0.98)), (0, 1), BLACK, (WHITE,), True, (0.075, 0.12)
    ),
    "band above": Layout((0, 0.23, 1, 1), ((0.03, 0.01, 0.97, 0.22),), (0.5,), WHITE, (BLACK,), False, (0.05, 0.075)),
    "band below": Layout((0, 0, 1, 0.77), ((0.03, 0.78, 0.97, 0.99),), (0.5,), WHITE, (BLACK,), False, (0.05, 0.075)),
    "poster": Layout(
        (0.07, 0.06, 0.93, 0.74), ((0.05, 0.76, 0.95, 0.97),), (0.5,), BLACK, (WHITE,), False, (0.05, 0.07)
    ),
}


@dataclass(frozen=True)
class Lettering:
    """How one meme's caption is set."""

    layout: Layout
    em: float  # share of the meme's shorter side; less when the words would not fit
    case: str  # "upper" | "sentence" | "as written"
    ink: RGB
    bold: Real  # thickening of every stroke, in em
    outline: Real  # in em; 0 for none
    slant: Real  # sideways per upward pixel
    stretch: Real  # width of the letters; 1 is the typeface's own


def lettering(rng: Random) -> Lettering:
    layout = rng.choice(list(LAYOUTS.values()))
    return Lettering(
        layout=layout,
        em=rng.uniform(*layout.em),
        case=rng.choice(
            ("upper", "upper", "sentence", "as written") if layout.outlined else ("sentence", "as written")
        ),
        ink=rng.choice(layout.inks),
        bold=rng.choice((0, 0, 0.02, 0.035)),
        outline=rng.choice((0.05, 0.07, 0.09)) if layout.outlined else 0,
        slant=rng.choice((0, 0, 0, 0.15, 0.22)),
        stretch=rng.choice((0.8, 0.9, 1, 1, 1.1)),
    )


def inscribe(meme: Image.Image, text: str, style: Lettering) -> list[list[str]]:
    """Draw the caption onto `meme`, every word whole and inside its box. Returns the lines, per caption box."""
    words = _cased(text, style.case).split()
    boxes = style.layout.captions
    half = (len(words) + 1) // 2
    parts = [words[:half], words[half:]] if len(boxes) == 2 else [words]
    lines = []
    for part, shares, gravity in zip(parts, boxes, style.layout.gravity, strict=True):
        left, top, right, bottom = scaled(shares, meme.size)
        em, wrapped = fit(part, right - left, bottom - top, round(style.em * min(meme.size)), style)
        ink, rim = _masks(wrapped, em, (right - left, bottom - top), gravity, style)
        if style.outline:
            meme.paste(BLACK, (left, top), rim)
        meme.paste(style.ink, (left, top), ink)
        lines.append(wrapped)
    return lines


def scaled(shares: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in shares as whole pixels of a picture of this size."""
    left, top, right, bottom = shares
    return round(left * size[0]), round(top * size[1]), round(right * size[0]), round(bottom * size[1])


def fit(words: list[str], wide: int, high: int, em: int, style: Lettering) -> tuple[int, list[str]]:
    """The largest letters, at most `em` pixels, at which the words wrap into wide x high pixels; and the lines."""
    while True:
        rim = 2 * _stroke(style, em) + MARGIN
        room = (wide - abs(style.slant) * high) / style.stretch - rim
        lines = _wrap(words, room, em)
        fits = _tall(lines, em) + rim <= high and all(_width(line, em) <= room for line in lines)
        if fits or em <= SMALLEST:
            return em, lines
        em = max(SMALLEST, min(em - 1, round(em * 0.94)))


def _stroke(style: Lettering, em: int) -> int:
    """By how many pixels letter and outline reach beyond the typeface's own edge."""
    return round((style.bold + style.outline) * em)


def _tall(lines: list[str], em: int) -> Real:
    return (LEADING * (len(lines) - 1) + LINE) * em


@lru_cache(maxsize=256)
def _font(em: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(em)
    assert isinstance(font, ImageFont.FreeTypeFont)  # a Pillow without FreeType raises before this
    return font


@lru_cache(maxsize=32768)
def _width(text: str, em: int) -> Real:
    return _font(em).getlength(text)


def _wrap(words: list[str], room: Real, em: int) -> list[str]:
    lines: list[str] = []
    used: Real = 0
    for word in words:
        wider = used + _width(" ", em) + _width(word, em)
        if lines and wider <= room:
            lines[-1] += f" {word}"
            used = wider
        else:
            lines.append(word)
            used = _width(word, em)
    return lines


def _masks(
    lines: list[str], em: int, size: tuple[int, int], gravity: Real, style: Lettering
) -> tuple[Image.Image, Image.Image]:
    """Where the letters are, and where letters and outline are, as masks of the caption box."""
    wide, high = size
    rim = _stroke(style, em)
    spare = high - _tall(lines, em) - 2 * rim - MARGIN
    first = MARGIN / 2 + rim + max(0, spare) * gravity + BASELINE * em
    masks = []
    for thickness in (round(style.bold * em), rim):
        mask = Image.new("L", (round(wide / style.stretch), high))
        pen = ImageDraw.Draw(mask)
        for number, line in enumerate(lines):
            at = (mask.width / 2, first + LEADING * em * number)
            pen.text(at, line, fill=255, font=_font(em), anchor="ms", stroke_width=thickness)
        if style.slant or style.stretch != 1:
            # each output pixel's source: narrower by the stretch, and further right the lower it is
            across = (1 / style.stretch, style.slant / style.stretch, -style.slant / style.stretch * high / 2)
            mask = mask.transform(size, Image.Transform.AFFINE, (*across, 0, 1, 0), Image.Resampling.BILINEAR)
        masks.append(mask)
    return masks[0], masks[1]


def _cased(text: str, case: str) -> str:
    return {"upper": text.upper(), "sentence": text[:1].upper() + text[1:]}.get(case, text)
