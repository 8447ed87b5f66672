"""What is said of operating points, and of slices by a column."""

import pytest
from made_moderation import points, slices

from experiments.evaluate.operating_points import Stakes
from experiments.results.records import Figure
from experiments.words import moderation


def test_what_dev_does_not_reach_and_what_it_cannot_pin_down_is_named():
    how, reach, small = moderation.operating_points(points(), "text")
    assert how.startswith("Each threshold was chosen on dev, ")
    assert "\n" not in how
    assert reach == "No threshold of text reaches precision=0.9 on dev."
    assert small.startswith("Dev is too small to place review=0.1: ")
    assert len(moderation.operating_points(points(), "image")) == 1


@pytest.mark.parametrize(
    ("stakes", "says"),
    [
        (Stakes(), []),
        (Stakes(5.0, 1.0), ["A miss costs 5, a false alarm 1; the cost is that of 1,000 memes."]),
        (Stakes(prevalence=0.031), ["Memes are weighed as if 3.10% of them had label 1."]),
    ],
)
def test_stakes_are_said_where_there_are_some(stakes, says):
    assert moderation.stakes(stakes) == says


def test_a_table_of_points_has_costs_only_where_they_are_known():
    [table] = moderation.operating_tables(points(), "text", ["test", "elsewhere"])
    assert table.rows[0] == [
        "recall=0.8", "from .412", ".800 [.700, .900]", ".600 [.500, .700]", "25 [12, 51]", "none", ".200 [.100, .300]"
    ]  # fmt: skip
    assert table.rows[1][:2] == ["review=0.1", ".212 to .641"]
    assert table.rows[1][5] == ".100 [.050, .150]"
    assert table.rows[2] == ["precision=0.9", "not reached on dev", *[""] * 5]
    [priced] = moderation.operating_tables(points(more={"cost": Figure(0.5)}), "text", ["test"])
    assert priced.header == [*table.header, "cost of 1,000"]
    assert [row[-1] for row in priced.rows] == ["500", "500", ""]


def test_a_gap_is_one_where_its_corrected_test_says_so():
    missed, alarms, without = moderation.field_slices(slices(), "text")
    assert missed == (
        "test, missed, of label 1: the largest difference is that between source web and phone, +.200 [+.050, +.350], "
        "p .020 (permutation over groups of memes, Holm): a gap."
    )
    assert alarms.endswith(
        "+.100 [-.100, +.300], p .200 (permutation over groups of memes, Holm): no evidence of a gap."
    )
    assert without == "10 of 100 memes of test have no source: a row of their own, in no test of a gap."
    assert moderation.field_slices(slices(gaps=False), "text") == [
        "No gap is tested: that takes two values of source with 10 memes of a label each.",
        without,
    ]


def test_a_table_by_a_column_has_a_row_for_each_value():
    table = moderation.field_table(slices(), "text", "test")
    assert table.header[0] == "source"
    assert table.rows[0] == ["web", "45", "20%", ".700", ".300 [.150, .600]", ".100"]
    assert [row[0] for row in table.rows] == ["web", "phone", "(no value)"]
    assert moderation.field_table(slices(), "image", "test").rows == []
