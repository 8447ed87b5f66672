"""Each published head has memes on which it does better than every other head, and planted_for says why."""

import pytest
import torch
from planted_for import PLANTED, planted

from heads.metrics import auc_roc
from heads.models import HEADS
from heads.train import fit

SMALL = {"hidden": 32, "projection": 32, "weight_decay": 1.0, "batch_size": 64, "min_steps": 16}
# heads of the same form: a sum of a text term and an image term; product's network, which retrieval has when none votes
SAME = {"late": {"mean"}, "product": {"retrieval"}}


def area(head, train, dev, test):
    runs = [HEADS[head].settings(**SMALL, seed=seed) for seed in range(2)]
    fitted = fit(head, train, dev, runs, precision="float32")
    return auc_roc(fitted.logits(test), test.labels()).mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("head", PLANTED)
def test_a_head_is_the_best_on_the_memes_that_are_made_for_it(head):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products gain nothing from a second core
    memes = planted(head)
    areas = {name: area(name, *memes) for name in HEADS}
    torch.set_num_threads(threads)
    others = {name: its for name, its in areas.items() if name not in {head, *SAME.get(head, ())}}
    assert areas[head] > max(others.values()), areas


def test_every_published_head_has_memes_of_its_own():
    assert {"late", *HEADS} - {"text", "image", "early", "mean"} == set(PLANTED)
