"""Pictures of the city: skyline, avenue, facade, bridge, motorway."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from extract.drawing.canvas import RGB, Canvas, Point, Real, mix

WALLS: Final[tuple[RGB, ...]] = ((130, 134, 142), (168, 92, 72), (204, 186, 158), (96, 116, 142), (72, 74, 84))
LAMP: Final = (255, 226, 140)
PAINT: Final = (236, 232, 214)  # road markings


def pane(c: Canvas, wall: RGB) -> RGB:
    """A window's colour: lit or not, more of them lit when it is dark."""
    return LAMP if c.rng.random() < (0.5 if c.light.strength > 0.38 else 0.1) else mix(wall, (20, 28, 44), 0.5)


def tower(c: Canvas, x: Real, top: Real, wide: Real, foot: Real, far: Real = 0) -> None:
    """A building with a grid of windows. far: 0 near, towards 1 lost in the haze."""
    rng = c.rng
    wall = mix(c.seen(rng.choice(WALLS)), c.light.horizon, far)
    c.box(x, top, wide, foot - top, wall)
    if rng.random() < 0.3:
        c.box(x + wide * 0.45, top - wide * 0.5, wide * 0.06, wide * 0.5, wall)
    columns = rng.randint(3, 6)
    cell, floor = wide / columns, wide / columns * rng.uniform(0.9, 1.5)
    for row in range(int((foot - top) / floor)):
        for column in range(columns):
            glass = mix(pane(c, wall), wall, far * 0.7)
            c.box(x + (column + 0.22) * cell, top + (row + 0.25) * floor, cell * 0.56, floor * 0.5, glass)


def car(c: Canvas, x: Real, foot: Real, long: Real) -> None:
    paint = c.seen(c.rng.choice(((236, 190, 40), (190, 40, 44), (50, 90, 170), (230, 230, 232), (40, 42, 46))))
    glass = mix((170, 200, 215), c.light.tint, c.light.strength)
    cabin = [(0.18, 0.28), (0.3, 0.5), (0.68, 0.5), (0.84, 0.28)]
    c.shape([(x + dx * long, foot - dy * long) for dx, dy in cabin], glass)
    c.pen.rounded_rectangle((x, foot - long * 0.32, x + long, foot - long * 0.08), long * 0.08, fill=paint)
    for dx in (0.22, 0.78):
        c.disc(x + dx * long, foot - long * 0.09, long * 0.1, long * 0.1, (24, 24, 28))
    c.disc(x + long * 0.97, foot - long * 0.2, long * 0.03, long * 0.03, LAMP)


def row_of_towers(c: Canvas, foot: Real, tall: tuple[Real, Real], wide: tuple[Real, Real], far: Real) -> None:
    """Towers side by side across the picture; `tall` and `wide` in hundredths of its shorter side."""
    x = -c.rng.uniform(0, wide[0]) * c.unit
    while x < c.w:
        breadth = c.rng.uniform(*wide) * c.unit
        tower(c, x, foot - c.rng.uniform(*tall) * c.unit, breadth, foot, far)
        x += breadth * c.rng.uniform(1, 1.15)


def skyline(c: Canvas) -> None:
    rng, foot = c.rng, c.rng.uniform(0.82, 0.95) * c.h
    for far, tall in ((0.6, (45, 75)), (0.3, (30, 60)), (0.0, (18, 42))):
        row_of_towers(c, foot, tall, (10, 18), far)
    c.box(0, foot, c.w, c.h - foot, c.seen((88, 88, 94)))
    for _ in range(rng.randint(2, 5)):
        car(c, rng.uniform(-0.05, 0.95) * c.w, foot + rng.uniform(2, 5) * c.unit, rng.uniform(9, 13) * c.unit)


def avenue(c: Canvas) -> None:
    """A street that runs away from the viewer between two rows of houses."""
    rng, vanish = c.rng, (c.rng.uniform(0.35, 0.65) * c.w, c.rng.uniform(0.5, 0.62) * c.h)
    foot = c.h

    def toward(x: Real, y: Real, share: Real) -> Point:
        return x + (vanish[0] - x) * share, y + (vanish[1] - y) * share

    c.shape([(-0.2 * c.w, foot), vanish, (1.2 * c.w, foot)], c.seen((150, 148, 146)))
    c.shape([(0.05 * c.w, foot), vanish, (0.95 * c.w, foot)], c.seen((78, 78, 84)))
    left, right = 0.485 * c.w, 0.515 * c.w
    for near in (0.1, 0.35, 0.55, 0.7, 0.82):
        far = near + 0.1 * (1 - near)
        c.shape([toward(x, foot, s) for x, s in ((left, near), (right, near), (right, far), (left, far))], PAINT)
    shares = (0.9, 0.8, 0.67, 0.5, 0.28, 0.0)
    for edge in (-0.15 * c.w, 1.15 * c.w):
        for far, near in pairwise(shares):
            roof = vanish[1] - rng.uniform(0.7, 1.5) * c.h
            house_front(c, lambda share, y, edge=edge: toward(edge, y, share), (near, far), (foot, roof))
    for share in sorted((rng.uniform(0.05, 0.75) for _ in range(rng.randint(2, 5))), reverse=True):
        x, y = toward(rng.choice((0.2, 0.6)) * c.w, foot, share)
        car(c, x, y, 26 * c.unit * (1 - share))


def house_front(
    c: Canvas, place: Callable[..., Point], across: tuple[Real, Real], upward: tuple[Real, Real], floors: int = 9
) -> None:
    """A wall with windows, seen aslant.

    place(u, v) is where a point of the wall is seen; `across` and `upward` are the wall's ends in u and v.
    """
    (near, far), (foot, roof) = across, upward
    wall = mix(c.seen(c.rng.choice(WALLS)), c.light.horizon, near * 0.6)
    c.shape([place(u, v) for u, v in ((near, foot), (near, roof), (far, roof), (far, foot))], wall)
    bays = 4
    for floor in range(1, floors):
        for bay in range(bays):
            a, b = (near + (far - near) * (bay + part) / bays for part in (0.2, 0.8))
            low, high = (foot + (roof - foot) * (floor + part) / floors for part in (0.2, 0.75))
            c.shape([place(u, v) for u, v in ((a, low), (a, high), (b, high), (b, low))], pane(c, wall))


def facade(c: Canvas) -> None:
    """One wall of windows that fills the picture."""
    rng, wall = c.rng, c.seen(c.rng.choice(WALLS))
    c.box(0, 0, c.w, c.h, wall)
    columns = rng.randint(4, 7)
    cell = c.w / columns
    floor = cell * rng.uniform(0.95, 1.4)
    frame, ledge, sheen = c.seen((226, 222, 214)), mix(wall, (255, 255, 255), 0.25), c.seen((150, 196, 226))
    for row in range(int(c.h / floor) + 1):
        y = row * floor
        c.box(0, y, c.w, floor * 0.06, ledge)
        for column in range(columns):
            x = (column + 0.2) * cell
            glass = pane(c, sheen)
            c.box(x, y + floor * 0.2, cell * 0.6, floor * 0.62, frame)
            c.box(x + cell * 0.05, y + floor * 0.24, cell * 0.22, floor * 0.54, glass)
            c.box(x + cell * 0.33, y + floor * 0.24, cell * 0.22, floor * 0.54, glass)
            if rng.random() < 0.2:
                c.box(x - cell * 0.08, y + floor * 0.72, cell * 0.76, floor * 0.2, mix(wall, (30, 30, 34), 0.55))
    c.box(0, c.h * 0.93, c.w, c.h * 0.07, c.seen((110, 108, 108)))


def bridge(c: Canvas) -> None:
    rng, u, level = c.rng, c.unit, c.rng.uniform(0.66, 0.76) * c.h
    row_of_towers(c, level, (22, 52), (9, 16), 0.35)
    c.box(0, level, c.w, c.h - level, mix(mix(c.light.zenith, (60, 96, 120), 0.5), c.light.tint, 0.2))
    for _ in range(rng.randint(20, 50)):
        x, y = rng.uniform(0, c.w), rng.uniform(level, c.h)
        c.box(x, y, rng.uniform(3, 12) * u, 0.5 * u, c.light.horizon)
    steel, deck = c.seen(rng.choice(((176, 60, 44), (90, 96, 104), (60, 80, 100)))), level + 6 * u
    pylons = [0.22 * c.w, 0.78 * c.w]
    peak = level - rng.uniform(30, 42) * u
    for x in pylons:
        c.box(x - 1.6 * u, peak, 3.2 * u, c.h - peak, steel)
    span = pylons[1] - pylons[0]
    for start in (pylons[0] - span, pylons[0], pylons[1]):
        steps = [i / 24 for i in range(25)]
        sag = [(start + s * span, peak + (deck - 3 * u - peak) * (1 - (2 * s - 1) ** 2)) for s in steps]
        c.stroke(sag, 0.9 * u, steel)
        for x, y in sag:
            c.stroke([(x, y), (x, deck)], 0.35 * u, steel)
    c.box(0, deck, c.w, 3 * u, steel)
    for _ in range(rng.randint(3, 7)):
        car(c, rng.uniform(0, 0.95) * c.w, deck + 0.6 * u, 7 * u)


def motorway(c: Canvas) -> None:
    rng, u, level = c.rng, c.unit, c.rng.uniform(0.5, 0.62) * c.h
    row_of_towers(c, level, (22, 46), (12, 24), 0.15)
    c.box(0, level, c.w, c.h - level, c.seen((80, 80, 86)))
    lanes = rng.randint(3, 5)
    deep = (c.h - level) / lanes
    for lane in range(1, lanes):
        for dash in range(-1, 12):
            c.box(dash * c.w / 10, level + lane * deep, c.w / 20, 0.9 * u, PAINT)
    for lane in range(lanes):
        for slot in range(4):
            if rng.random() < 0.6:
                x = (slot + rng.uniform(0, 0.3)) * c.w / 4
                car(c, x, level + (lane + 0.85) * deep, min(c.w / 4.6, (10 + 3 * lane) * u))
    c.box(0, level - 1.5 * u, c.w, 2.5 * u, c.seen((150, 150, 152)))
    x = rng.uniform(0.1, 0.8) * c.w
    c.box(x, level - 34 * u, 1.6 * u, 34 * u, (60, 60, 64))
    c.pen.rounded_rectangle((x - 2.6 * u, level - 46 * u, x + 4.2 * u, level - 28 * u), u, fill=(34, 34, 38))
    for dy, lamp in ((-43, (220, 50, 44)), (-37, (240, 190, 60)), (-31, (70, 190, 90))):
        c.disc(x + 0.8 * u, level + dy * u, 2.2 * u, 2.2 * u, lamp)


SCENES: Final = (skyline, avenue, facade, bridge, motorway)
