"""Drawings of what is not there in full."""

import numpy as np
import pytest
from made_up_results import LABEL, figure, history, results

from experiments.pages import figures, report_page
from experiments.pages.document import Paragraph


@pytest.mark.parametrize(
    ("best_epoch", "losses", "dev_auc"),
    [
        ([1, 2], "dev loss at the epochs kept 0.800 to 0.900.", "epochs 1 to 2 kept, at 0.800 to 0.900."),
        ([0, 2], "dev loss at the epochs kept 0.800.", "epochs 2 kept, at 0.800."),  # the first run diverged
        ([0, 0], "no epoch was kept.", "no epoch was kept."),
    ],
)
def test_a_run_without_a_best_epoch_is_drawn_without_one(best_epoch, losses, dev_auc):
    curves = history(best_epoch)
    assert figures.losses("text", curves).alt == f"Losses of text over 3 epochs; {losses}"
    assert figures.dev_auc("text", curves).alt == f"AUC-ROC of text on dev by epoch; {dev_auc}"
    marked = [run for run, epoch in enumerate(best_epoch) if epoch]
    epochs, values = figures.at_best(curves.dev_auc, curves)
    np.testing.assert_array_equal(epochs, np.array(best_epoch)[marked])
    np.testing.assert_array_equal(values, curves.dev_auc[epochs - 1, marked])


@pytest.mark.parametrize("diverged", [["image"], ["text", "image"]])
def test_a_head_that_diverged_is_named_and_the_others_are_drawn(diverged):
    calls = {"text": np.where(LABEL == 1, 0.6, 0.2), "image": np.full(100, 0.5)}
    calls |= {head: np.full(100, np.nan) for head in diverged}
    section = report_page.split_section(results(dict.fromkeys(calls, figure(0.7, 0.6, 0.8)), calls=calls), "test")
    sentences = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert sentences == [f"No figures of {' and '.join(diverged)}: training diverged."]
    panels = [panel.name for block in section.blocks for panel in getattr(block, "panels", [])]
    of_text = ["roc-test", "precision-recall-test", "confusion-test-text", "calibration-test-text"]
    assert panels == (of_text if diverged == ["image"] else [])
