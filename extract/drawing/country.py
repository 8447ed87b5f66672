"""Pictures of the country: hills, mountains, furrows, forest, meadow."""

import math
from collections.abc import Callable
from typing import Final

from extract.drawing.canvas import RGB, Canvas, Real, mix

LAND: Final[tuple[RGB, ...]] = ((96, 152, 60), (126, 168, 70), (190, 172, 84), (176, 138, 70), (226, 232, 238))
LEAVES: Final[tuple[RGB, ...]] = ((52, 110, 48), (84, 138, 54), (190, 110, 40), (200, 150, 50), (40, 90, 70))


def ridge(c: Canvas, level: Real, swing: Real, colour: RGB) -> Callable[[Real], Real]:
    """A rolling line at `level` (share of the height), filled below. Returns its height at x."""
    rng = c.rng
    waves = [(rng.uniform(0.6, 2.4), rng.uniform(0, 6.28), rng.uniform(0.3, 1)) for _ in range(3)]

    def height(x: Real) -> Real:
        return c.h * (level + swing * sum(a * math.sin(f * 6.28 * x / c.w + p) for f, p, a in waves) / 3)

    steps = [c.w * i / 40 for i in range(41)]
    c.shape([(0, c.h), *((x, height(x)) for x in steps), (c.w, c.h)], colour)
    return height


def tree(c: Canvas, x: Real, foot: Real, high: Real, leaves: RGB) -> None:
    c.box(x - high * 0.05, foot - high * 0.45, high * 0.1, high * 0.45, c.seen((92, 64, 44)))
    for dx, dy, r in ((-0.18, 0.5, 0.2), (0.18, 0.52, 0.2), (0, 0.72, 0.26)):
        c.disc(x + dx * high, foot - dy * high, r * high, r * high, c.seen(leaves, 10))


def pine(c: Canvas, x: Real, foot: Real, high: Real, leaves: RGB) -> None:
    c.box(x - high * 0.03, foot - high * 0.2, high * 0.06, high * 0.2, c.seen((80, 58, 44)))
    for low, top, half in ((0.12, 0.55, 0.24), (0.35, 0.78, 0.19), (0.58, 1.0, 0.13)):
        points = [(x - half * high, foot - low * high), (x + half * high, foot - low * high), (x, foot - top * high)]
        c.shape(points, c.seen(leaves, 8))


def barn(c: Canvas, x: Real, foot: Real, high: Real) -> None:
    wall = c.seen(c.rng.choice(((168, 44, 40), (196, 180, 156), (120, 78, 52))))
    c.box(x, foot - high * 0.6, high, high * 0.6, wall)
    roof = [(-0.08, 0.58), (0.15, 0.88), (0.5, 1.02), (0.85, 0.88), (1.08, 0.58)]
    c.shape([(x + dx * high, foot - dy * high) for dx, dy in roof], c.seen((84, 72, 68)))
    c.box(x + high * 0.33, foot - high * 0.4, high * 0.34, high * 0.4, c.seen((236, 226, 208)))
    c.stroke([(x + high * 0.33, foot), (x + high * 0.67, foot - high * 0.4)], high * 0.03, wall)
    c.stroke([(x + high * 0.67, foot), (x + high * 0.33, foot - high * 0.4)], high * 0.03, wall)


def animal(c: Canvas, x: Real, foot: Real, long: Real) -> None:
    """A sheep, a cow or a pig, by its coat."""
    coat = c.seen(c.rng.choice(((240, 236, 226), (112, 70, 46), (226, 160, 156), (60, 56, 56))))
    dark = mix(coat, (20, 16, 16), 0.6)
    for dx in (-0.32, -0.15, 0.15, 0.3):
        c.box(x + dx * long, foot - long * 0.3, long * 0.07, long * 0.3, dark)
    c.disc(x, foot - long * 0.42, long * 0.45, long * 0.26, coat)
    side = c.rng.choice((-1, 1))
    c.disc(x + side * long * 0.5, foot - long * 0.56, long * 0.15, long * 0.13, dark)


def fence(c: Canvas, level: Real) -> None:
    wood, u = c.seen((150, 116, 80)), c.unit
    for x in range(0, c.w, max(1, round(11 * u))):
        c.box(x, level - 9 * u, 1.6 * u, 11 * u, wood)
    for dy in (3, 7):
        c.box(0, level - dy * u, c.w, 1.3 * u, wood)


def hills(c: Canvas) -> None:
    rng, land, leaves = c.rng, c.rng.choice(LAND), c.rng.choice(LEAVES)
    layers = rng.randint(3, 4)
    for layer in range(layers):
        near = layer / (layers - 1)
        colour = mix(c.seen(land), c.light.horizon, 0.5 * (1 - near))
        height = ridge(c, 0.5 + 0.3 * near, 0.08, colour)
        for _ in range(rng.randint(2, 7)):
            x, high = rng.uniform(0, c.w), (4 + 12 * near) * rng.uniform(0.7, 1.3) * c.unit
            rng.choice((tree, pine))(c, x, height(x) + c.unit, high, leaves)
    x = rng.uniform(0.05, 0.6) * c.w
    barn(c, x, height(x) + 6 * c.unit, rng.uniform(12, 20) * c.unit)
    for _ in range(rng.randint(2, 8)):
        x = rng.uniform(0, c.w)
        animal(c, x, height(x) + rng.uniform(4, 16) * c.unit, rng.uniform(6, 10) * c.unit)


def mountains(c: Canvas) -> None:
    rng, rock, foot = c.rng, c.rng.choice(((110, 112, 122), (140, 116, 98), (90, 100, 130))), 0.68 * c.h
    for _ in range(rng.randint(4, 7)):
        x, high, half = rng.uniform(0, c.w), rng.uniform(0.25, 0.5) * c.h, rng.uniform(0.18, 0.35) * c.w
        top, shade = foot - high, c.seen(rock, 20)
        c.shape([(x - half, foot), (x, top), (x + half, foot)], shade)
        c.shape([(x, top), (x + half, foot), (x + half * 0.2, foot)], mix(shade, (20, 20, 40), 0.25))
        snow = [(0, 0), (0.3, 0.3), (0.12, 0.24), (0, 0.34), (-0.12, 0.22), (-0.3, 0.3)]
        c.shape([(x + dx * half, top + dy * high) for dx, dy in snow], c.seen((240, 244, 250), 6))
    c.box(0, foot, c.w, c.h - foot, c.seen(rng.choice(LAND)))
    if rng.random() < 0.6:
        c.disc(rng.uniform(0.3, 0.7) * c.w, 0.8 * c.h, 0.4 * c.w, 0.07 * c.h, mix(c.light.zenith, (90, 150, 190), 0.4))
    leaves = rng.choice(LEAVES)
    for depth in sorted(rng.random() for _ in range(rng.randint(10, 24))):
        pine(c, rng.uniform(0, c.w), foot + depth * 0.32 * c.h, (10 + 16 * depth) * c.unit, leaves)


def furrows(c: Canvas) -> None:
    rng, land, level = c.rng, c.rng.choice(LAND), c.rng.uniform(0.42, 0.55) * c.h
    ridge(c, level / c.h - 0.02, 0.05, mix(c.seen(rng.choice(LEAVES)), c.light.horizon, 0.3))
    earth, crop, vanish = c.seen((122, 86, 58)), c.seen(land, 20), rng.uniform(0.2, 0.8) * c.w
    c.box(0, level, c.w, c.h, earth)
    step = rng.uniform(9, 16) * c.unit
    for row in range(-40, 41):
        x = vanish + row * step * 2
        c.shape([(vanish + row * step * 0.06, level), (x, c.h), (x + step, c.h)], crop)
    barn(c, rng.uniform(0, 0.75) * c.w, level + 2 * c.unit, rng.uniform(12, 22) * c.unit)
    for _ in range(rng.randint(2, 6)):
        depth = rng.uniform(0.15, 0.9)
        y, r = level + depth * (c.h - level), (2 + 6 * depth) * c.unit
        straw, x = c.seen((214, 180, 96)), rng.uniform(0, c.w)
        c.disc(x, y - r, r * 1.2, r, straw)
        c.disc(x + r * 0.4, y - r, r * 0.7, r * 0.8, mix(straw, (90, 60, 20), 0.3))


def forest(c: Canvas) -> None:
    rng, leaves = c.rng, c.rng.choice(LEAVES)
    for depth in (0.0, 0.35, 0.7, 1.0):
        ground = 0.62 + 0.22 * depth
        ridge(c, ground, 0.03, mix(c.seen(rng.choice(LAND)), c.light.horizon, 0.3 * (1 - depth)))
        count = round(26 - 16 * depth)
        kind = rng.choice((tree, pine))
        for i in range(count):
            x, high = (i + rng.uniform(0, 1)) * c.w / count, (26 + 34 * depth) * rng.uniform(0.8, 1.25) * c.unit
            kind(c, x, (ground + 0.03) * c.h, high, mix(leaves, c.light.horizon, 0.35 * (1 - depth)))


def meadow(c: Canvas) -> None:
    rng, u, level = c.rng, c.unit, c.rng.uniform(0.48, 0.62)
    ridge(c, level - 0.04, 0.05, mix(c.seen(rng.choice(LEAVES)), c.light.horizon, 0.4))
    ridge(c, level, 0.03, c.seen(rng.choice(LAND[:3])))
    for _ in range(rng.randint(1, 3)):
        high = rng.uniform(30, 50) * u
        tree(c, rng.uniform(0, c.w), (level + 0.06) * c.h, high, rng.choice(LEAVES))
    for _ in range(rng.randint(2, 5)):
        animal(c, rng.uniform(0.1, 0.9) * c.w, rng.uniform(level + 0.1, 0.9) * c.h, rng.uniform(14, 24) * u)
    fence(c, rng.uniform(level + 0.04, level + 0.12) * c.h)
    petals = [c.seen(rng.choice(((240, 90, 90), (250, 230, 90), (245, 240, 250), (170, 110, 210)))) for _ in range(3)]
    for _ in range(rng.randint(80, 200)):
        depth = rng.random()
        y, r = c.h * (level + 0.08 + depth * (0.92 - level)), (0.5 + 1.4 * depth) * u
        c.disc(rng.uniform(0, c.w), y, r, r, rng.choice(petals))


SCENES: Final = (hills, mountains, furrows, forest, meadow)
