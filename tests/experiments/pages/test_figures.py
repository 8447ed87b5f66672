"""Drawings of what is not there in full."""

import numpy as np
import pytest
from made_up_results import history

from experiments.pages import figures


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
