"""Records survive the file; files are whole or not there."""

import json
import math
from dataclasses import replace

import pytest
from made_comparison import comparison, pair, record

from experiments.results import records
from experiments.results.records import Comparison, Figure


def same(a, b) -> bool:
    """Equal, with NaN equal to NaN."""
    return repr(a) == repr(b)


def test_a_record_is_a_line_and_comes_back():
    lines = records.to_lines([record(), record(seed=4)])
    assert lines.count("\n") == 2
    assert json.loads(lines.splitlines()[0])["metrics"] == {"auc_roc": None, "accuracy": 0.5}
    assert same(records.from_lines(lines), [record(), record(seed=4)])


def test_a_null_setting_stays_null():
    assert records.from_lines(records.to_lines([record()]))[0].settings["note"] is None


def test_a_comparison_comes_back():
    text = comparison().to_json()
    assert "NaN" not in text
    back = Comparison.from_json(text)
    assert same(back, comparison())
    assert isinstance(back.rows[0].metrics["auc_roc"], Figure)
    assert math.isnan(back.rows[0].metrics["precision"].mean)


def test_infinity_is_no_result():
    with pytest.raises(ValueError, match="Out of range float"):
        records.to_lines([record(seconds=float("inf"))])


def test_code_version_is_a_word():
    assert records.code_version().strip()
    assert " " not in records.code_version()


def test_a_pair_is_found_from_either_side():
    made = replace(pair(0.04, 0.01, 0.07, 0.01), conclusion="unconfirmed gain", only_head=3, detectable=0.02)
    found = comparison(pairs=[], other_pairs=[made])
    assert found.pair("early", "text", "test") == made
    turned = found.pair("text", "early", "test")
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-0.04, -0.07, -0.01))
    assert (turned.conclusion, turned.only_head, turned.only_against) == ("unconfirmed loss", 0, 3)
    assert turned.turned == made
    assert found.pair("early", "text", "test", "accuracy") is found.pair("early", "late", "test") is None
