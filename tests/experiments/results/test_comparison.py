"""What a comparison came to, in memory: dev chooses, and what every head says of every meme."""

from dataclasses import replace

import numpy as np

from experiments.results import folder as reports
from experiments.results.records import NAN, Figure, Row


def test_dev_chooses(comparison_out):
    found = reports.read_results(comparison_out)
    figures = {head: found.rows("dev")[head].metrics["auc_roc"].mean for head in found.heads}
    assert found.dev == "dev"
    assert found.judged == "test"
    assert found.best_on_dev == max(figures, key=figures.__getitem__)
    undefined = replace(
        found.comparison,
        rows=[without_area(row) if row.name == found.heads[0] else row for row in found.comparison.rows],
    )
    # NaN is neither above nor below: first of the heads, it would stay the maximum
    assert replace(found, comparison=undefined).best_on_dev == max(found.heads[1:], key=figures.__getitem__)


def without_area(row: Row) -> Row:
    return replace(row, metrics=row.metrics | {"auc_roc": Figure(NAN)})


def test_right_is_what_the_mean_probability_says():
    text = reports.HeadPredictions("text", [0], np.array([[0.4, 0.9, 0.2, 0.5]]))
    predicted = reports.SplitPredictions("test", list("abcd"), np.array([0, 0, -1, 1]), {"text": text})
    assert predicted.right("text").tolist() == [True, False, False, True]
