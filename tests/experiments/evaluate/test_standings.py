"""Rankings over datasets, against scipy and a published table."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from experiments.evaluate import standings
from experiments.results.records import NAN, Figure, Leaderboard, Row, Standing
from experiments.words.boards import across as words
from extract.store import EncoderIdentity


def board(dataset, areas, fingerprint="f") -> Leaderboard:
    rows = [
        Standing(
            "text",
            name,
            "",
            4,
            NAN,
            "",
            {"test": Row(name, "head", "test", 1, 0.5, {"auc_roc": Figure(area)}, {})},
            True,
        )
        for name, area in areas.items()
    ]
    encoder = EncoderIdentity("text", "a", 4, fingerprint, {}, {})
    return Leaderboard(dataset, "", {"a": encoder}, [], 1, {}, "dev", "test", rows, [], [], "", {})


def drawn(datasets, rows=4, gap=0.1):
    draw = np.random.default_rng(0)
    return [
        board(f"set{each}", {f"row{row}": 0.6 + gap * row + 0.01 * draw.normal() for row in range(rows)})
        for each in range(datasets)
    ]


def test_friedman_and_nemenyi_are_scipy_s_and_demsar_s():
    boards = drawn(6)
    found = standings.across(boards)
    assert found.names == [f"text: row{row}" for row in (3, 2, 1, 0)]
    assert found.mean_rank == [1, 2, 3, 4]
    areas = [[each.standings[row].splits["test"].metrics["auc_roc"].mean for each in boards] for row in range(4)]
    assert found.p == friedmanchisquare(*areas).pvalue
    # Demsar 2006, table 5: q at .05 for four rows is 2.569
    assert found.critical == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 6)), rel=1e-3)
    said = " ".join(words(found))
    assert "Over 6 datasets, text: row3 has the best mean rank, 1.00." in said
    assert "1.91 apart (Nemenyi, .05): 1 of the 3 others are not told apart from the first" in said


@pytest.mark.parametrize(("datasets", "rows"), [(5, 4), (6, 2)])
def test_too_few_datasets_or_rows_are_not_tested(datasets, rows):
    found = standings.across(drawn(datasets, rows))
    assert np.isnan([found.p, found.critical]).all()
    assert words(found)[-1] == f"{datasets} datasets and {rows} rows are too few to test ranks: that takes 6 and 3."


def test_rows_that_a_dataset_lacks_and_other_weights_are_told():
    boards = [board("one", {"a": 0.7, "b": 0.6}), board("two", {"a": NAN, "b": 0.6, "c": 0.5}, fingerprint="g")]
    found = standings.across(boards)
    assert found.names == ["text: b"]
    assert found.notes == [
        "2 rows are left out: not every dataset has a figure for them.",
        "a has other weights or settings on one dataset than on another: its ranks are of several encoders.",
    ]
    nothing = standings.across([board("one", {"a": 0.7}), board("two", {"b": 0.6})])
    assert words(nothing) == ["No row stands in all 2 leaderboards: nothing can be ranked."]
