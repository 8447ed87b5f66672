"""What every picture of a sample meme has: light, sky, a canvas to paint on, and who stands in front."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from PIL import Image, ImageDraw

Real = int | float
RGB = tuple[int, int, int]
Point = tuple[Real, Real]

FINENESS: Final = 2  # drawn pixels per kept pixel, along each side


@dataclass(frozen=True)
class Light:
    """An hour and weather: the sky's colours from top to horizon, and what they do to everything below."""

    zenith: RGB
    horizon: RGB
    tint: RGB
    strength: Real  # share of the tint in every colour, 0 to 1
    sun: RGB
    stars: bool = False


LIGHTS: Final = {
    "noon": Light((64, 142, 220), (190, 224, 245), (255, 250, 235), 0.05, (255, 244, 190)),
    "overcast": Light((140, 150, 160), (205, 208, 210), (150, 156, 165), 0.3, (225, 225, 222)),
    "morning": Light((122, 178, 222), (252, 222, 196), (255, 225, 200), 0.2, (255, 240, 205)),
    "sunset": Light((88, 62, 130), (252, 148, 72), (235, 110, 70), 0.3, (255, 214, 120)),
    "dusk": Light((40, 48, 98), (196, 130, 150), (80, 60, 120), 0.4, (250, 220, 210)),
    "night": Light((10, 14, 40), (42, 56, 104), (26, 34, 80), 0.48, (240, 240, 215), stars=True),
    "haze": Light((196, 200, 178), (240, 228, 190), (235, 220, 180), 0.35, (255, 250, 225)),
}


def mix(one: Sequence[int], other: Sequence[int], share: Real) -> RGB:
    """`one` with `share` (0 to 1) of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


class Canvas:
    """A picture being painted: shapes in drawn pixels, colours as the light shows them."""

    def __init__(self, size: tuple[int, int], light: Light, rng: Random) -> None:
        self.w, self.h = (side * FINENESS for side in size)
        self.unit = min(self.w, self.h) / 100
        self.light, self.rng = light, rng
        # two pixels stretched to the canvas: Pillow's interpolation makes the gradient
        sky = Image.new("RGB", (1, 2), light.zenith)
        sky.putpixel((0, 1), light.horizon)
        self.image = sky.resize((self.w, self.h), Image.Resampling.BILINEAR)
        self.pen = ImageDraw.Draw(self.image)

    def seen(self, colour: RGB, spread: int = 14) -> RGB:
        """The colour, a little varied, as the light shows it."""
        near = [min(255, max(0, channel + self.rng.randint(-spread, spread))) for channel in colour]
        return mix(near, self.light.tint, self.light.strength)

    def box(self, x: Real, y: Real, wide: Real, high: Real, colour: RGB) -> None:
        self.pen.rectangle((x, y, x + wide, y + high), fill=colour)

    def disc(self, x: Real, y: Real, rx: Real, ry: Real, colour: RGB) -> None:
        self.pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)

    def shape(self, points: Sequence[Point], colour: RGB) -> None:
        self.pen.polygon(points, fill=colour)

    def stroke(self, points: Sequence[Point], wide: Real, colour: RGB) -> None:
        self.pen.line(points, fill=colour, width=max(1, round(wide)))


def sky(c: Canvas) -> None:
    """Sun or moon, stars, clouds."""
    rng, u = c.rng, c.unit
    if c.light.stars:
        for _ in range(rng.randint(30, 90)):
            x, y, r = rng.uniform(0, c.w), rng.uniform(0, c.h * 0.6), rng.uniform(0.15, 0.45) * u
            c.disc(x, y, r, r, (235, 235, 225))
    if rng.random() < 0.6:
        radius = rng.uniform(4, 8) * u
        c.disc(rng.uniform(0.1, 0.9) * c.w, rng.uniform(0.1, 0.35) * c.h, radius, radius, c.light.sun)
    white = mix(c.light.horizon, (255, 255, 255), 0.45)
    for _ in range(rng.randint(0, 4)):
        x, y, s = rng.uniform(0, c.w), rng.uniform(0.05, 0.35) * c.h, rng.uniform(4, 9) * u
        for step in range(-2, 3):
            r = s * rng.uniform(0.5, 0.9)
            c.disc(x + step * s * 0.7, y - r * 0.3, r, r * 0.7, white)


def somebody(c: Canvas) -> None:
    """A round-headed fellow at the lower edge: cat, bear, robot or just a face."""
    rng, r = c.rng, c.rng.uniform(11, 18) * c.unit
    x, y = rng.uniform(0.15, 0.85) * c.w, c.h - r * rng.uniform(1.2, 2.2)
    skin = rng.choice(
        ((250, 208, 70), (236, 150, 80), (150, 110, 80), (180, 184, 190), (120, 190, 160), (240, 170, 180))
    )
    ink, ears = (34, 30, 30), rng.choice(("none", "cat", "bear", "robot"))
    c.pen.rounded_rectangle((x - r * 0.9, y + r * 0.7, x + r * 0.9, c.h + r), r * 0.5, fill=mix(skin, ink, 0.35))
    for side in (-1, 1):
        if ears == "cat":
            c.shape([(x + side * r * dx, y - r * dy) for dx, dy in ((0.25, 0.8), (0.9, 0.4), (0.85, 1.35))], skin)
        elif ears == "bear":
            c.disc(x + side * r * 0.75, y - r * 0.75, r * 0.33, r * 0.33, skin)
        elif ears == "robot":
            c.stroke([(x + side * r * 0.3, y - r * 0.8), (x + side * r * 0.6, y - r * 1.5)], r * 0.08, ink)
    c.disc(x, y, r * 1.04, r * 1.04, ink)
    c.disc(x, y, r, r, skin)
    look = rng.uniform(-0.1, 0.1)
    for side in (-1, 1):
        c.disc(x + side * r * 0.38, y - r * 0.2, r * 0.22, r * 0.26, (250, 250, 250))
        c.disc(x + r * (side * 0.38 + look), y - r * 0.18, r * 0.1, r * 0.12, ink)
    mouth = (x - r * 0.4, y + r * 0.15, x + r * 0.4, y + r * 0.65)
    start, end = rng.choice(((20, 160), (200, 340), (0, 360)))
    c.pen.arc(mouth, start, end, fill=ink, width=max(1, round(r * 0.09)))
