"""Records as frames and as CSV."""

import csv
import io

import pandas as pd
import pytest
from made_comparison import comparison

from experiments.results import folder as reports
from experiments.results import frames
from experiments.results.comparison import Results
from experiments.results.records import CONCLUSIONS


def test_csv_has_a_line_per_head_split_and_threshold():
    lines = list(csv.DictReader(io.StringIO(frames.csv(Results(comparison(), [], {}, {}).table))))
    assert [(line["split"], line["name"], line["chosen_by"]) for line in lines][-3:] == [
        ("test", "early", "fixed"),
        ("test", "early", "dev"),
        ("test", "chance", "fixed"),
    ]
    assert (lines[0]["auc_roc_mean"], lines[0]["auc_roc_sd"], lines[0]["precision_mean"]) == (
        "0.812000",
        "0.004000",
        "",
    )
    assert (lines[1]["threshold"], lines[1]["precision_mean"]) == ("0.400000", "0.812000")


def test_frames_hold_what_files_do(comparison_out):
    results = reports.read_results(comparison_out)
    table = pd.read_csv(comparison_out / "comparison.csv")
    pd.testing.assert_frame_equal(results.table, table, atol=1e-6)
    assert set(results.tests["family"]) == {"fusion", "others", "linear"}
    assert set(results.tests["conclusion"]) <= set(CONCLUSIONS)
    frame = results.predictions
    assert list(frame.columns) == ["split", "id", "label", "head", "seed", "probability"]
    assert len(frame) == 2 * 40 * (4 * 3 + 6)  # splits x memes x (heads x seeds + references)
    runs = results.runs
    assert len(runs) == 2 * (4 * 3 + 6)
    early = runs[(runs["head"] == "early") & (runs["split"] == "test")]
    assert early["auc_roc"].mean() == pytest.approx(results.auc("early", "test").mean)
    assert {"tuned_f1", "auc_roc", "seconds"} <= set(runs.columns)
