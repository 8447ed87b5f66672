"""Records survive the file; files are whole or not there."""

import json
import math

import pytest

from experiments.results import records
from experiments.results.records import Comparison, Figure, Pair, Record, Row, Slice, SplitSize

NAN = float("nan")


def record(**changes) -> Record:
    values = {
        "head": "early",
        "kind": "head",
        "seed": 3,
        "split": "test",
        "memes": 100,
        "settings": {"hidden": 256, "note": None},
        "best_epoch": 7,
        "threshold": 0.41,
        "temperature": 1.0,
        "metrics": {"auc_roc": NAN, "accuracy": 0.5},
        "tuned": {"accuracy": 0.6},
        "features": {"bert": "ab12"},
        "code": "v1",
        "seconds": 1.5,
    }
    return Record(**(values | changes))


def comparison(**changes) -> Comparison:
    figure = Figure(0.812, 0.004, 0.781, 0.842)
    metrics = dict.fromkeys(("accuracy", "recall", "f1", "macro_f1", "auc_roc", "average_precision"), figure)
    metrics |= {"precision": Figure(NAN, undefined=2), "ece": Figure(0.05, 0.01), "brier": figure}
    tuned = dict.fromkeys(("accuracy", "precision", "recall", "f1", "macro_f1"), figure)
    values = {
        "encoders": {
            "text": {"name": "my_bert", "dim": 768, "fingerprint": "ab" * 32, "settings": {"pooling": "cls"}},
            "image": {"name": "resnet50", "dim": 2048, "fingerprint": "cd" * 32, "settings": {}},
        },
        "splits": [
            SplitSize("train", 200, 200, 80, 180),
            SplitSize("dev", 100, 100, 40, 100),
            SplitSize("test", 120, 100, 40, 90),
            SplitSize("test_unseen", 50, 0, 0, 0),
        ],
        "seeds": 5,
        "settings": {"text": {"hidden": 256}, "early": {"hidden": 256}},
        "calibration": "none",
        "device": "cpu",
        "precision": "bfloat16",
        "rows": [
            Row(name, "head", split, 5, 0.4, metrics, tuned) for split in ("dev", "test") for name in ("text", "early")
        ]
        + [Row("chance", "reference", "test", 1, NAN, metrics | {"precision": Figure(0.4)}, {})],
        "judged": ["test"],
        "pairs": [
            Pair("test", "early", "text", "auc_roc", 0.812, 0.793, -0.004, 0.041, 0.11, 0.22),
            Pair("test", "early", "text", "accuracy", 0.75, 0.7, 0.01, 0.09, 0.0004, 0.0004, 12, 7),
        ],
        "linear": [Pair("test", "early", "LR both", "auc_roc", 0.812, 0.8, -0.01, 0.034, 0.3, 0.3)],
        "slices": [Slice("test", "image not in train", 60, 24, {"text": figure, "early": Figure(0.9)})],
        "notes": ["test: 1 memes without an image vector left out: 00042."],
        "code": "v1",
        "versions": {"torch": "2.5.0"},
    }
    return Comparison(**(values | changes))


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
