"""Every fault of a grid is named; what it holds is tried once, in an order that a longer search keeps."""

import pytest

from experiments.search import grid
from extract.errors import Refused
from heads.models import HEADS


def test_every_fault_of_a_grid_is_named():
    with pytest.raises(Refused) as refused:
        grid.parse(["hidden=0,many,8,8", "width=3", "seed=1", "dropout=1", "balance=some", "lr", "depth=1", "depth=2"])
    assert str(refused.value).splitlines() == [
        "--grid cannot be meant:",
        "  hidden must be at least 1, not 0",
        "  hidden must be a whole number, not many",
        "  hidden: 8 is given twice",
        f"  width: no setting of a head; there are {', '.join(grid.KINDS)}",
        "  seed: no setting of a head; give --seeds instead",
        "  dropout must be at least 0 and below 1, not 1.0",
        "  balance must be one of none, pos_weight, undersample, not some",
        "  lr: not of the form setting=value,value",
        "  depth: given twice",
    ]


def test_the_default_grid_holds_the_shipped_recipe():
    assert grid.parse([]) == {}
    for head in HEADS.values():
        found = grid.combinations(grid.default(head.name))
        assert head.settings() in [head.settings(**settings) for settings in found]


def test_random_draws_are_different_repeatable_and_a_longer_search_goes_on_from_a_shorter():
    values = {"hidden": [1, 2, 3], "depth": [1, 2], "dropout": [0.0, 0.1, 0.2]}
    drawn = grid.combinations(values, 9, seed=4)
    assert len({tuple(each.items()) for each in drawn}) == 9
    assert grid.combinations(values, 5, seed=4) == drawn[:5]
    assert grid.combinations(values, 9, seed=5) != drawn
    every = grid.combinations(values)
    assert len(every) == 18
    assert all(each in every for each in drawn)
    assert grid.combinations(values, 18) == grid.combinations(values, 1000) == every
