"""Stage 2 on vectors that stay on disk: shards and rows in another order change nothing, windows next to nothing."""

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch
from drawn import QUICK, seeds, state_bytes

from experiments import data as loading
from experiments import references, training
from experiments.bench import random_inputs
from extract import store
from extract.store import reading
from heads.rows import BLOCK, Rows
from heads.train import fit

SIZES, DIMS = {"train": 3 * BLOCK + 100, "dev": 600, "test": 700}, (6, 9)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return random_inputs.publish_vectors(tmp_path_factory.mktemp("one"), SIZES, DIMS)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    return random_inputs.publish_vectors(tmp_path_factory.mktemp("sharded"), SIZES, DIMS, shard_rows=1000)


def trained(features, **how):
    data = loading.load(features)
    train, dev, test = (training.rows(split) for split in (data.train, data.dev, data.tests[0]))
    runs = seeds(replace(QUICK, max_epochs=4, batch_size=256), 2)
    fitted = fit("early", train, dev, runs, precision="float32", **how)
    return fitted, fitted.logits(test)


def test_shards_train_to_the_very_same_numbers(one, sharded):
    assert isinstance(loading.load(sharded).train.pairs.text_vec, store.Shards)
    (whole, logit), (parts, again) = trained(one), trained(sharded)
    assert state_bytes(whole) == state_bytes(parts)
    assert torch.equal(logit, again)


def test_rows_in_another_order_that_stay_on_disk_train_to_the_very_same_numbers(tmp_path, monkeypatch):
    features = planted.features(tmp_path, {"train": 400, "dev": 120, "test": 60}, shuffle=3)
    in_memory, logit = trained(features)
    monkeypatch.setattr(reading, "IN_MEMORY", 0)
    assert isinstance(loading.load(features).train.pairs.image_vec, store.Taken)
    on_disk, again = trained(features)
    assert state_bytes(in_memory) == state_bytes(on_disk)
    assert torch.equal(logit, again)


class Untouched(store.schema.Lazy):
    """Vectors that nobody may read."""

    def __init__(self, shape):
        self.shape = shape

    def _rows(self, numbers):
        raise AssertionError(f"{len(numbers):,} rows were read")


def test_no_columns_are_no_reading():
    there = Untouched((7, 5))
    assert [there[rows, :0].shape for rows in (slice(None), slice(2, 5), slice(0, 0))] == [(7, 0), (3, 0), (0, 0)]
    with pytest.raises(AssertionError, match="7 rows were read"):
        there[:, :1]


@pytest.mark.parametrize("head", ["text", "image"])
def test_a_head_of_one_side_reads_nothing_of_the_other(head):
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, 64)
    seen, unseen = draw.normal(size=(64, 6)).astype(np.float32), Untouched((64, 9))
    rows = Rows(seen, unseen, label) if head == "text" else Rows(unseen, seen, label)
    assert fit(head, rows, rows, seeds(QUICK, 1)).logits(rows).shape == (1, 64)


def test_a_small_budget_trains_in_windows_to_the_same_quality(one, sharded):
    (kept, logit), (read_again, other) = trained(one), trained(sharded, cache_bytes=1)
    # Windows change the order of memes and no more. Two seeds differ by about .01 here; a lost window costs .1.
    assert kept.dev_auc.mean() > 0.75
    np.testing.assert_allclose(kept.dev_auc, read_again.dev_auc, atol=0.02)
    assert np.corrcoef(logit.mean(dim=0), other.mean(dim=0))[0, 1] > 0.95


def test_windows_over_shards_and_over_one_file_are_the_same(one, sharded):
    (whole, logit), (parts, again) = trained(one, cache_bytes=1), trained(sharded, cache_bytes=1)
    assert state_bytes(whole) == state_bytes(parts)
    assert torch.equal(logit, again)


def test_references_look_at_a_fixed_sample_of_a_large_train_set(sharded, monkeypatch):
    data = loading.load(sharded)
    assert all("train_memes" not in each.settings for each in references.references(loading.load(sharded))[:1])
    monkeypatch.setattr(references, "MOST", 500)
    found = {each.name: each for each in references.references(data)}
    assert {each.settings["train_memes"] for each in found.values()} == {500}
    again = {each.name: each for each in references.references(data)}
    assert all(torch.equal(found[name].logit["test"], again[name].logit["test"]) for name in found)
