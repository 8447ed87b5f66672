"""Heads chosen for an ensemble: greedily, on dev, with replacement."""

from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from experiments.data import Data
from experiments.ensemble import greedy
from experiments.training import Trained
from heads.metrics import auc_roc


def trained(name, **logit):
    runs = len(next(iter(logit.values())))
    one = torch.ones(runs).double()
    return Trained(name, "head", [{"seed": seed} for seed in range(runs)], [1] * runs, logit, one / 2, one, 1.0, None)


@pytest.fixture
def made():
    """Two heads that each know another half of the label, one that knows nothing, and dev's labels."""
    draw = torch.Generator().manual_seed(0)
    label = torch.arange(200) % 2
    parts = torch.randn(4, 2, 200, generator=draw)
    logit = {"first": parts[0] + label, "second": parts[1] + label, "noise": parts[2]}
    dev = SimpleNamespace(name="dev", pairs=SimpleNamespace(label=label.numpy()))
    data = Mock(spec=Data, dev=dev)
    return data, [trained(name, dev=each, test=each.flip(1)) for name, each in logit.items()], label


def test_what_complements_the_best_is_added_and_noise_is_not(made):
    data, heads, label = made
    found = greedy(data, heads)
    assert set(found.settings[0]["heads"]) == {"first", "second"}
    assert [settings["seed"] for settings in found.settings] == [0, 1]
    alone = [auc_roc(each.logit["dev"], label).mean() for each in heads]
    assert auc_roc(found.logit["dev"], label).mean() > max(alone)


def test_runs_are_means_of_the_heads_runs_on_every_split(made):
    data, heads, _ = made
    found = greedy(data, heads)
    counts = found.settings[0]["heads"]
    for split in ("dev", "test"):
        total = sum(counts.get(each.name, 0) * torch.sigmoid(each.logit[split].double()) for each in heads)
        torch.testing.assert_close(torch.sigmoid(found.logit[split]), total / sum(counts.values()))


def test_test_memes_choose_nothing(made):
    data, heads, _ = made
    scrambled = [trained(each.name, dev=each.logit["dev"], test=-each.logit["test"]) for each in heads]
    assert greedy(data, scrambled).settings == greedy(data, heads).settings
    assert np.array_equal(greedy(data, scrambled).threshold, greedy(data, heads).threshold)
