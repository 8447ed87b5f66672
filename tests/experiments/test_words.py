"""How numbers are written: digits, signs, spreads and intervals."""

import pytest

from experiments import words
from experiments.results.records import NAN, Figure


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.8124, ".812"), (1.0, "1.000"), (0.9999, "1.000"), (-0.0344, "-.034"), (10.5, "10.500"), (-0.0001, ".000")],
)
def test_figures_have_three_digits(value, written):
    assert words.bare(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.019, "+.019"), (-0.004, "-.004"), (0.0, "+.000"), (-0.0001, "+.000"), (-1.0, "-1.000"), (NAN, "undefined")],
)
def test_differences_have_a_sign(value, written):
    assert words.signed(value) == written


def test_one_is_no_plural_and_a_change_without_an_interval_has_no_brackets():
    assert [words.counted(count, "meme") for count in (0, 1, 2864)] == ["0 memes", "1 meme", "2,864 memes"]
    assert words.change(0.437, NAN, NAN) == "+.437"


def test_a_single_seed_has_no_spread():
    assert words.with_spread(Figure(0.8)) == ".800"
    assert words.with_spread(Figure(0.8, 0.0123)) == ".800±.012"
    assert words.interval(Figure(0.8)) == ""
