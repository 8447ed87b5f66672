"""Each published head has memes on which it does better than every other head, and planted_for says why."""

import statistics

import pytest
import torch
from planted_for import PLANTED, planted

from heads.metrics import auc_roc
from heads.models import HEADS
from heads.train import fit

SMALL = {"hidden": 32, "projection": 32, "weight_decay": 1.0, "batch_size": 64, "min_steps": 16}
# heads of the same form: a sum of a text term and an image term; product's network, which retrieval has when none votes
SAME = {"late": {"mean"}, "product": {"retrieval"}}
DRAWS = 4  # of memes
MARGIN = 0.02  # of AUC-ROC, mean over draws
DEVIATIONS = 3  # of the difference over draws, that the margin is at least


def area(head, memes, seeds=2):
    train, dev, test = memes
    runs = [HEADS[head].settings(**SMALL, seed=seed) for seed in range(seeds)]
    fitted = fit(head, train, dev, runs, precision="float32")
    return auc_roc(fitted.logits(test), test.labels()).mean().item()


@pytest.fixture(autouse=True)
def one_thread():
    """Small products gain nothing from a second core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("head", PLANTED)
def test_a_head_beats_its_strongest_rivals_on_the_memes_that_are_made_for_it(head):
    memes = planted(head)
    areas = {name: area(name, memes, seeds=1) for name in (head, *PLANTED[head].rivals)}
    assert areas[head] > max(areas[name] for name in PLANTED[head].rivals) + MARGIN / 2, areas


@pytest.mark.slow
@pytest.mark.parametrize("head", PLANTED)
def test_a_head_beats_all_others_by_more_than_luck(head):
    drawn = [planted(head, draw) for draw in range(DRAWS)]
    own = [area(head, memes) for memes in drawn]
    for other in HEADS.keys() - {head, *SAME.get(head, ())}:
        ahead = [ours - area(other, memes) for ours, memes in zip(own, drawn, strict=True)]
        margin, deviation = statistics.mean(ahead), statistics.stdev(ahead)
        assert margin > MARGIN, (other, margin, deviation)
        assert margin > DEVIATIONS * deviation, (other, margin, deviation)


def test_every_published_head_has_memes_of_its_own():
    assert {"late", *HEADS} - {"text", "image", "early", "mean"} == set(PLANTED)
