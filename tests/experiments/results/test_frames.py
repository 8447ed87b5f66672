"""Records as frames and as CSV."""

import csv
import io

from made_comparison import comparison

from experiments.results import frames
from experiments.results.comparison import Results


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
