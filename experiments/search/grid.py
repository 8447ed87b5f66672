"""Which head settings a sweep tries: a grid of values, all of it or a number of draws from it."""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from extract.errors import Refused, listing
from heads.models import HEADS
from heads.settings import HeadSettings

KINDS: dict[str, Any] = {field.name: type(field.default) for field in fields(HeadSettings) if field.name != "seed"}
WORDS = {int: "a whole number", float: "a number", str: "a word"}
AROUND_THE_RECIPE: dict[str, tuple[Any, ...]] = {  # tried where no grid is given, the recipe's own values added
    "hidden": (64, 256),
    "dropout": (0.1, 0.5),
    "learning_rate": (2e-3,),
    "weight_decay": (1.0, 10.0),
}

Grid = dict[str, list[Any]]  # values by setting


def default(head: str) -> Grid:
    """Some values on either side of the head's shipped recipe, which is among the combinations."""
    recipe, ignored = HEADS[head].settings(), HEADS[head].ignores
    return {
        name: sorted({*values, getattr(recipe, name)})
        for name, values in AROUND_THE_RECIPE.items()
        if name not in ignored
    }


def parse(words: Sequence[str]) -> Grid:
    """A grid from `hidden=128,256 learning_rate=1e-3,3e-4`; empty from no words.

    Raises Refused, naming every fault at once: settings that heads do not have, values that they do not take, repeats.
    """
    grid: Grid = {}
    faults: list[str] = []
    for word in words:
        name, equals, listed = word.partition("=")
        values = [value.strip() for value in listed.split(",") if value.strip()]
        if not equals or not values:
            faults.append(f"{word}: not of the form setting=value,value")
        elif name not in KINDS:
            hint = "; give --seeds instead" if name == "seed" else f"; there are {', '.join(KINDS)}"
            faults.append(f"{name}: no setting of a head{hint}")
        elif name in grid:
            faults.append(f"{name}: given twice")
        else:
            grid[name] = [read for value in values if (read := _value(name, value, faults)) is not None]
            given = grid[name]
            faults += [f"{name}: {value} is given twice" for place, value in enumerate(given) if value in given[:place]]
    if faults:
        raise Refused(f"--grid cannot be meant:\n{listing(faults)}")
    return grid


def _value(name: str, text: str, faults: list[str]) -> Any:
    """The value of a setting; None, and a line more in `faults`, where it is none."""
    try:
        value = KINDS[name](text)
    except ValueError:
        faults.append(f"{name} must be {WORDS[KINDS[name]]}, not {text}")
        return None
    try:
        HeadSettings(**{name: value})
    except ValueError as error:
        faults.append(str(error))
        return None
    return value


def combinations(grid: Mapping[str, Sequence[Any]], draws: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Every combination of the grid's values, or `draws` different ones, always the same under one seed.

    The first draws of a longer search are those of a shorter one, so that a search can be made longer later.
    """
    size = math.prod(len(values) for values in grid.values())
    if draws is None or draws >= size:
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    drawn: dict[int, None] = {}  # in the order drawn
    draw = random.Random(seed)
    while len(drawn) < draws:
        drawn[draw.randrange(size)] = None
    return [_combination(grid, number) for number in drawn]


def _combination(grid: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """The combination of that number: its digits, each in the base of a setting's values, pick them."""
    sampled = {}
    for name, values in grid.items():
        number, place = divmod(number, len(values))
        sampled[name] = values[place]
    return sampled
