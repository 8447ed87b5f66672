"""Pictures of the sample memes: a scene of the country or the city, somebody in front of it, the caption on it.

Scenes are painted in hundredths of their shorter side, y downwards; captions are set in pixels.
"""

from collections.abc import Sequence
from functools import cache
from math import sin, tau
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from extract.files import replacing
from extract.sample.plan import DrawnMeme, SampleSettings, rng_of

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the meme's width and height

FINENESS: Final = 2  # painted pixels per pixel of the file, along each side
ASPECTS: Final = (1, 4 / 3, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 3 / 4, 4 / 5, 2 / 3)  # width over height
LEADING, SMALLEST = 1.16, 11  # line distance, in em; pixels per em below which letters cannot be read
Z_RLE: Final = 3  # of zlib: on drawings as small as its best, in a third of the time
font = cache(ImageFont.load_default)  # Pillow's own typeface, so that every machine draws the same. font(pixels per em)
WHITE, BLACK, YELLOW, LAMP, WOOD = (255, 255, 255), (0, 0, 0), (255, 236, 90), (255, 226, 140), (98, 68, 46)
COLOURS: Final[dict[str, tuple[Colour, ...]]] = {
    "land": ((96, 152, 60), (126, 168, 70), (190, 172, 84), (176, 138, 70), (226, 232, 238)),
    "leaves": ((52, 110, 48), (84, 138, 54), (190, 110, 40), (200, 150, 50), (40, 90, 70)),
    "rock": ((110, 112, 122), (140, 116, 98), (90, 100, 130)),
    "petals": ((240, 90, 90), (250, 230, 90), (245, 240, 250), (170, 110, 210)),
    "animal": ((240, 236, 226), (112, 70, 46), (226, 160, 156), (60, 56, 56)),
    "barn": ((168, 44, 40), (196, 180, 156), (120, 78, 52)),
    "wall": ((130, 134, 142), (168, 92, 72), (204, 186, 158), (96, 116, 142), (72, 74, 84)),
    "car": ((236, 190, 40), (190, 40, 44), (50, 90, 170), (230, 230, 232), (40, 42, 46)),
    "fellow": ((250, 208, 70), (236, 150, 80), (150, 110, 80), (180, 184, 190), (120, 190, 160), (240, 170, 180)),
}
# Things of size 1 that stand at (0, 0): ImageDraw's shape, colour (None: the thing's own), and x, y, x, y, ...
THINGS: Final[dict[str, Sequence[tuple[str, Colour | None, Sequence[float]]]]] = {
    "tree": [
        ("rectangle", WOOD, (-0.05, -0.45, 0.05, 0)),
        *(("ellipse", None, (x, y, x + 0.44, y + 0.44)) for x, y in ((-0.4, -0.72), (-0.04, -0.74), (-0.22, -1))),
    ],
    "pine": [
        ("rectangle", WOOD, (-0.03, -0.2, 0.03, 0)),
        *(("polygon", None, (-x, -y, x, -y, 0, -y - 0.43)) for x, y in ((0.24, 0.12), (0.19, 0.35), (0.13, 0.57))),
    ],
    "barn": [
        ("rectangle", None, (-0.5, -0.6, 0.5, 0)),
        ("polygon", (84, 72, 68), (-0.58, -0.58, -0.35, -0.88, 0, -1.02, 0.35, -0.88, 0.58, -0.58)),
        ("rectangle", (236, 226, 208), (-0.18, -0.42, 0.18, 0)),
        *(("polygon", None, (-x, 0, 0.05 - x, 0, x, -0.42, x - 0.05, -0.42)) for x in (-0.13, 0.18)),
    ],
    "animal": [
        *(("rectangle", WOOD, (x, -0.3, x + 0.07, 0)) for x in (-0.32, -0.15, 0.15, 0.28)),
        *(("ellipse", None, (-0.45, -0.68, 0.45, -0.16)), ("ellipse", WOOD, (0.34, -0.7, 0.66, -0.42))),
    ],
    "car": [
        ("polygon", (170, 200, 215), (-0.32, -0.28, -0.2, -0.5, 0.18, -0.5, 0.34, -0.28)),
        ("polygon", None, (-0.5, -0.08, -0.5, -0.26, -0.44, -0.32, 0.44, -0.32, 0.5, -0.24, 0.5, -0.08)),
        *(("ellipse", (24, 24, 28), (x, -0.19, x + 0.2, 0.01)) for x in (-0.38, 0.18)),
    ],
    "fellow": [
        *(("polygon", None, (x, -0.85, 1.6 * x, -1.15, 1.7 * x, -0.6)) for x in (-0.22, 0.22)),
        *(("ellipse", BLACK, (-0.42, -0.97, 0.42, -0.13)), ("ellipse", None, (-0.4, -0.95, 0.4, -0.15))),
        *(("ellipse", WHITE, (x, -0.76, x + 0.2, -0.52)) for x in (-0.26, 0.06)),
        *(("ellipse", BLACK, (x, -0.7, x + 0.09, -0.58)) for x in (-0.19, 0.13)),
        *(("ellipse", BLACK, (-0.16, -0.44, 0.16, -0.25)), ("ellipse", None, (-0.18, -0.48, 0.18, -0.32))),
    ],
}
# Hours and weathers: the sky's colours from top to horizon, and a tint of everything below with its share, 0 to 1.
LIGHTS: Final = {
    "noon": ((64, 142, 220), (190, 224, 245), (255, 250, 235), 0.05),
    "overcast": ((140, 150, 160), (205, 208, 210), (150, 156, 165), 0.3),
    "morning": ((122, 178, 222), (252, 222, 196), (255, 225, 200), 0.2),
    "sunset": ((88, 62, 130), (252, 148, 72), (235, 110, 70), 0.3),
    "night": ((10, 14, 40), (42, 56, 104), (26, 34, 80), 0.48),
}


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return `one` with `share` (0 to 1) of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


class Canvas:
    """A picture being painted, `size` pixels wide and high, that begins with a sky. light: one of LIGHTS."""

    def __init__(self, size: tuple[int, int], light: str, rng: Random) -> None:
        zenith, self.horizon, self.tint, self.strength = LIGHTS[light]
        self.dark, self.rng, self.scale = light == "night", rng, FINENESS * min(size) / 100
        self.w, self.h = (100 * side / min(size) for side in size)
        sky = Image.linear_gradient("L").resize((size[0] * FINENESS, size[1] * FINENESS))
        self.image = ImageOps.colorize(sky, zenith, self.horizon)
        self.pen = ImageDraw.Draw(self.image)
        sun, cloud = mix(self.horizon, YELLOW, 0.5), mix(self.horizon, WHITE, 0.45)
        discs = [(rng.uniform(0, 0.6), rng.uniform(0.15, 0.4), 1.0, WHITE) for _ in range(60 * self.dark)]  # stars
        discs += [(rng.uniform(0.1, 0.35), rng.uniform(4, 8), 1, sun) for _ in range(rng.randint(0, 1))]
        discs += [(rng.uniform(0.05, 0.4), rng.uniform(6, 16), 0.25, cloud) for _ in range(rng.randint(0, 6))]
        for down, radius, flat, colour in discs:
            x, y = rng.uniform(0, self.w), down * self.h
            self.paint("ellipse", colour, x - radius, y - flat * radius, x + radius, y + flat * radius)

    def shade(self, what: str | Colour, far: float = 0) -> Colour:
        """Return a colour, or one of COLOURS, a little varied, as the light shows it. far: 0, to 1 lost in haze."""
        plain = self.rng.choice(COLOURS[what]) if isinstance(what, str) else what
        red, green, blue = (min(255, max(0, channel + self.rng.randint(-12, 12))) for channel in plain)
        return mix(mix((red, green, blue), self.tint, self.strength), self.horizon, far)

    def paint(self, shape: str, colour: Colour, *at: float) -> None:
        """Paint a shape of ImageDraw. at: x, y, x, y, ..."""
        getattr(self.pen, shape)([self.scale * each for each in at], fill=colour)

    def put(self, thing: str, x: float, foot: float, size: float, colour: Colour | None = None) -> None:
        """Paint one of THINGS, in one of its own COLOURS if none is given."""
        colour = colour or self.shade(thing)
        for shape, fixed, at in THINGS[thing]:
            places = ((foot if number % 2 else x) + size * each for number, each in enumerate(at))
            self.paint(shape, self.shade(fixed) if fixed else colour, *places)


def country(c: Canvas) -> None:
    """Hills with trees, perhaps mountains behind them; before them a field or flowers, a barn, animals."""
    rng, level, land, leaves = c.rng, c.rng.uniform(0.42, 0.55) * c.h, c.shade("land"), c.shade("leaves")
    for _ in range(rng.choice((0, 4, 6))):
        x, top, half, foot = rng.uniform(0, c.w), rng.uniform(0.1, 0.3) * c.h, rng.uniform(18, 35), level + 6
        c.paint("polygon", c.shade("rock", 0.2), x - half, foot, x, top, x + half, foot)
        snow = ((0, 0), (0.3, 0.3), (0.12, 0.24), (0, 0.34), (-0.12, 0.22), (-0.3, 0.3))
        c.paint("polygon", c.shade(WHITE), *(each for u, v in snow for each in (x + u * half, top + v * (foot - top))))
    trees, forest = rng.choice((("tree",), ("pine",), ("tree", "pine"))), rng.random() < 0.3
    for near in (0, 0.5, 1):
        floor, swing, phase, haze = (
            level + 0.35 * near * (c.h - level),
            rng.uniform(1, 4),
            rng.uniform(0, tau),
            0.5 - near / 2,
        )
        ridge = [(x, floor - swing * (1 + sin(phase + 4 * x / c.w))) for x in range(0, round(c.w) + 4, 3)]
        edge = (each for point in ridge for each in point)
        c.paint("polygon", mix(land, c.horizon, haze), *edge, c.w + 3, c.h, 0, c.h)
        for x, y in rng.sample(ridge, 18 if forest else rng.randint(2, 5)):
            size = (20 + 24 * near if forest else 10 + 18 * near) * rng.uniform(0.8, 1.25)
            c.put(rng.choice(trees), x, y + 2, size, mix(leaves, c.shade("leaves", haze), 0.5 * haze + 0.1))
    vanish, crop, petals = rng.uniform(0.2, 0.8) * c.w, c.shade("land"), [c.shade("petals") for _ in range(3)]
    if rng.random() < 0.5:
        c.paint("rectangle", c.shade((122, 86, 58)), 0, floor, c.w, c.h)
        for x in range(-400, 400, 24):
            c.paint("polygon", crop, vanish + 0.15 * x, floor, vanish + x, c.h, vanish + x + 12, c.h)
    else:
        for depth in sorted(rng.random() for _ in range(150)):
            x, y, size = rng.uniform(0, c.w), floor + depth * (c.h - floor), 1 + 2 * depth
            c.paint("ellipse", rng.choice(petals), x, y, x + size, y + size)
    c.put("barn", rng.uniform(0.15, 0.85) * c.w, floor + 1, rng.uniform(16, 26))
    for depth in sorted(rng.uniform(0.2, 0.9) for _ in range(rng.randint(2, 5))):
        c.put("animal", rng.uniform(0, c.w), floor + depth * (c.h - floor), 12 + 14 * depth)


def city(c: Canvas) -> None:
    """Towers with windows, side by side in three rows; before them a road with lanes and cars."""
    rng, road, lanes = c.rng, c.rng.uniform(0.6, 0.85) * c.h, c.rng.randint(2, 4)
    for far, low, high in ((0.6, 45, 75), (0.3, 30, 58), (0.0, 14, 42)):
        x = -rng.uniform(0, 10)
        while x < c.w:
            wide, tall, bays = rng.uniform(10, 22), rng.uniform(low, high), rng.randint(3, 5)
            colour, cell, floor = c.shade("wall", far), wide / bays, rng.uniform(2.5, 5)
            c.paint("rectangle", colour, x, road - tall, x + wide, road)
            for left in (x + (bay + 0.2) * cell for bay in range(bays)):
                for top in (road - tall + (row + 0.3) * floor for row in range(int(tall / floor))):
                    pane = LAMP if rng.random() < (0.5 if c.dark else 0.1) else mix(colour, (20, 28, 44), 0.5)
                    c.paint("rectangle", mix(pane, colour, 0.7 * far), left, top, left + 0.6 * cell, top + 0.5 * floor)
            x += wide * rng.uniform(1, 1.15)
    c.paint("rectangle", c.shade((80, 80, 86)), 0, road, c.w, c.h)
    for lane in range(lanes):
        foot = road + (lane + 0.8) * (c.h - road) / lanes
        for slot in range(0, round(c.w), 28):
            c.paint("rectangle", c.shade(WHITE), slot, foot + 1.5, slot + 12, foot + 2.5)
            if rng.random() < 0.6:
                c.put("car", slot + rng.uniform(8, 20), foot, 12 + 3 * lane)


SCENES: Final = {"country": country, "city": city}


class Layout(NamedTuple):
    """Where scene and caption lie on a meme."""

    scene: Box
    captions: tuple[Box, ...]  # with two of them, half of the words goes to each
    ground: Colour
    letters: Colour
    em: float  # of the largest letters, share of the meme's shorter side
    outline: float = 0  # of letters, in em, in black


WHOLE, TOP, FOOT = (0, 0, 1, 1), (0.02, 0.02, 0.98, 0.3), (0.02, 0.7, 0.98, 0.98)
LAYOUTS: Final = {
    "above": Layout(WHOLE, (TOP,), BLACK, YELLOW, 0.1, 0.08),
    "below": Layout(WHOLE, (FOOT,), BLACK, WHITE, 0.1, 0.06),
    "both": Layout(WHOLE, (TOP, FOOT), BLACK, WHITE, 0.12, 0.08),
    "band above": Layout((0, 0.23, 1, 1), ((0.03, 0.01, 0.97, 0.22),), WHITE, BLACK, 0.08, 0.03),
    "band below": Layout((0, 0, 1, 0.77), ((0.03, 0.78, 0.97, 0.99),), WHITE, BLACK, 0.08),
    "poster": Layout((0.07, 0.06, 0.93, 0.74), ((0.05, 0.76, 0.95, 0.97),), BLACK, WHITE, 0.07),
}


class PictureStyle(NamedTuple):
    """All of a meme's appearance that is not its topic."""

    size: tuple[int, int]  # pixels, width and height
    light: str  # one of LIGHTS
    layout: Layout
    em: float  # of letters, share of the meme's shorter side; less when the words would not fit
    upper: bool  # capitals
    front: int | None  # seed of who stands in front; None for nobody
    grain: int  # by how many of 255 a speck of noise is darker or brighter


def look(rng: Random, shortest: int, longest: int) -> PictureStyle:
    """Draw an appearance whose sides lie between `shortest` and `longest` pixels."""
    aspect, light, layout = rng.choice(ASPECTS), rng.choice(list(LIGHTS)), rng.choice(list(LAYOUTS.values()))
    most = max(shortest, longest * min(aspect, 1 / aspect))
    side = shortest + (most - shortest) * rng.random() ** 2  # squared: small pictures are commoner, and quicker
    wide, high = (max(shortest, min(longest, round(side * max(1, ratio)))) for ratio in (aspect, 1 / aspect))
    em, front = layout.em * rng.uniform(0.65, 1), rng.getrandbits(32) if rng.random() < 0.6 else None
    return PictureStyle((wide, high), light, layout, em, rng.random() < 0.4, front, rng.choice((0, 6, 10)))


def picture(topic: str, style: PictureStyle, rng: Random) -> Image.Image:
    """Return a meme of this look without its caption; rng decides what happens in the scene."""
    left, top, right, bottom = scaled(style.layout.scene, style.size)
    canvas = Canvas((right - left, bottom - top), style.light, rng)
    SCENES[topic](canvas)
    if style.front is not None:
        canvas.rng = Random(style.front)
        canvas.put("fellow", canvas.rng.uniform(0.2, 0.8) * canvas.w, canvas.h + 2, canvas.rng.uniform(28, 42))
    image = canvas.image.reduce(FINENESS)
    noise = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    noise = noise.point([128 - style.grain] * 3 + [128] * 250 + [128 + style.grain] * 3)
    meme = Image.new("RGB", style.size, style.layout.ground)
    meme.paste(ImageChops.add(image, Image.merge("RGB", (noise,) * 3), scale=1, offset=-128), (left, top))
    return meme


def scaled(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box in whole pixels of a picture of this size."""
    left, top, right, bottom = (round(share * side) for share, side in zip(box, size * 2, strict=True))
    return left, top, right, bottom


def fit(words: Sequence[str], wide: float, high: float, em: int) -> tuple[int, list[str]]:
    """Return the largest letters, at most `em` pixels, at which the words wrap into wide x high pixels; the lines."""
    while True:
        lines: list[str] = []
        for word in words:
            if lines and font(em).getlength(f"{lines[-1]} {word}") <= wide:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        fits = len(lines) * LEADING * em <= high and all(font(em).getlength(line) <= wide for line in lines)
        if fits or em <= SMALLEST:
            return em, lines
        em = max(SMALLEST, min(em - 1, round(em * 0.94)))


def inscribe(meme: Image.Image, text: str, style: PictureStyle) -> list[list[str]]:
    """Draw the caption onto `meme`, every word whole and inside its box. Returns the lines, per caption box."""
    layout, most = style.layout, round(style.em * min(meme.size))
    words = (text.upper() if style.upper else text[0].upper() + text[1:]).split()
    pen, half, margin, lines = ImageDraw.Draw(meme), (len(words) + 1) // 2, 4 + 2 * layout.outline * most, []
    parts = [words[:half], words[half:]] if len(layout.captions) == 2 else [words]
    for part, box in zip(parts, layout.captions, strict=True):
        left, top, right, bottom = scaled(box, meme.size)
        em, wrapped = fit(part, right - left - margin, bottom - top - margin, most)
        first, rim = (top + bottom - len(wrapped) * LEADING * em) / 2 + 0.88 * em, round(layout.outline * em)
        for number, line in enumerate(wrapped):
            at = (left + right) / 2, first + number * LEADING * em
            pen.text(at, line, layout.letters, font(em), "ms", stroke_width=rim, stroke_fill=BLACK)
        lines.append(wrapped)
    return lines


def draw_group(out: Path, settings: SampleSettings, memes: Sequence[DrawnMeme]) -> int:
    """Draw memes of one group into `out`. Returns how many."""
    split, group = memes[0].split, memes[0].group
    style = look(rng_of(settings, split, group, "look"), settings.shortest, settings.longest)
    topics = {meme.shows for meme in memes}
    bare = {topic: picture(topic, style, rng_of(settings, split, group, topic)) for topic in topics}
    for meme in memes:
        image = bare[meme.shows].copy()
        inscribe(image, meme.text, style)
        with replacing(out / meme.img) as aside:
            image.save(aside, "JPEG" if meme.img.endswith("jpg") else "PNG", quality=85, compress_type=Z_RLE)
    return len(memes)
