"""Standardisation by train, and batches that hold every meme once, in memory or from disk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads.rows import BLOCK, Feed, Rows, Scaling, drop_columns_
from heads.settings import HeadSettings

PLAIN = HeadSettings(batch_size=64, min_steps=1, input_dropout=0.0)
CPU = torch.device("cpu")


def vectors(count, text_dim=3, image_dim=2, seed=0):
    draw = np.random.default_rng(seed)
    return (
        draw.normal(2, 3, (count, text_dim)).astype(np.float32),
        draw.normal(-1, 0.1, (count, image_dim)).astype(np.float32),
    )


def feed(text, image, cache_bytes):
    return Feed(text, image, (Scaling.fit(text), Scaling.fit(image)), CPU, torch.float32, cache_bytes)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"^3 text vectors, 1,200 image vectors and 3 labels are not one meme each$"):
        Rows(np.zeros((3, 2)), np.zeros((1200, 2)), np.zeros(3))


@given(count=st.sampled_from([1, 2, 50, BLOCK, BLOCK + 1, 2 * BLOCK + 7]), shift=st.sampled_from([0.0, -5.0, 1e4]))
@settings(max_examples=15, deadline=None)
def test_scaling_is_the_plain_mean_and_deviation(count, shift):
    vec = (np.random.default_rng(count).normal(size=(count, 2)) + shift).astype(np.float32)
    scale = Scaling.fit(vec)
    np.testing.assert_allclose(scale.mean, vec.astype(np.float64).mean(0), rtol=1e-6, atol=1e-6)
    if count > 1:
        np.testing.assert_allclose(scale.deviation, vec.astype(np.float64).std(0), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -7e8, 1e-20])
def test_a_constant_column_becomes_zero(value):
    vec = np.full((2 * BLOCK + 5, 2), value, np.float32)
    vec[:, 1] = np.linspace(-1, 1, len(vec))
    scaled = Scaling.fit(vec)(torch.from_numpy(vec))
    assert scaled[:, 0].abs().max() <= 1e-6 * max(abs(value), 1)  # the mean's own rounding
    assert scaled[:, 1].std().item() == pytest.approx(1, abs=1e-3)


def test_a_column_constant_in_train_only_is_not_blown_up_elsewhere():
    scale = Scaling.fit(np.full((10, 1), 3.0, np.float32))
    assert scale(torch.tensor([[3.5]])).tolist() == [[0.5]]


@pytest.mark.parametrize("cache_bytes", [1, 2 * BLOCK * 20, 1 << 30], ids=["one block", "two blocks", "all"])
def test_an_epoch_visits_every_meme_once_whatever_is_kept(cache_bytes):
    text, image = vectors(4 * BLOCK + 100)
    fed = feed(text, image, cache_bytes)
    batches = list(fed.epoch(1, PLAIN))
    rows = torch.cat([batch.rows for batch in batches])
    assert torch.equal(rows.sort().values, torch.arange(len(text)))
    assert max(len(batch.rows) for batch in batches) == PLAIN.batch_size
    for vec, part in ((text, "text_vec"), (image, "image_vec")):
        served = torch.cat([getattr(batch, part) for batch in batches])
        assert torch.equal(served, Scaling.fit(vec)(torch.from_numpy(vec))[rows])


def test_windows_are_shuffled_within_and_between():
    fed = feed(*vectors(4 * BLOCK), 1)
    first, again, second = (torch.cat([batch.rows for batch in fed.epoch(number, PLAIN)]) for number in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    blocks = first.view(4, BLOCK) // BLOCK
    assert (blocks == blocks[:, :1]).all()  # one long stretch of the disk at a time
    assert not torch.equal(first[:BLOCK], first[:BLOCK].sort().values)
    orders = {tuple((torch.cat([b.rows for b in fed.epoch(n, PLAIN)])[::BLOCK] // BLOCK).tolist()) for n in range(4)}
    assert len(orders) > 1


@pytest.mark.parametrize("cache_bytes", [1, 1 << 30])
def test_in_order_gives_rows_in_their_order(cache_bytes):
    text, image = vectors(BLOCK + 10)
    parts = list(feed(text, image, cache_bytes).in_order())
    assert torch.equal(torch.cat([part[0] for part in parts]), Scaling.fit(text)(torch.from_numpy(text)))
    assert torch.equal(torch.cat([part[1] for part in parts]), Scaling.fit(image)(torch.from_numpy(image)))


def test_small_train_sets_are_passed_until_an_epoch_has_its_steps():
    fed = feed(*vectors(100), 1 << 30)
    batches = list(fed.epoch(1, HeadSettings(batch_size=64, min_steps=5, input_dropout=0.0)))
    assert [len(batch.rows) for batch in batches] == [64, 36] * 3
    assert torch.cat([batch.rows for batch in batches]).bincount().tolist() == [3] * 100
    assert not torch.equal(batches[0].rows, batches[2].rows)


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.999])
def test_input_dropout_meets_its_rate_and_keeps_the_mean(rate):
    vec = torch.ones(400, 500)
    drop_columns_(vec, rate, torch.Generator().manual_seed(0))
    kept = 1 - min(round(rate * 256), 255) / 256
    assert (vec > 0).float().mean().item() == pytest.approx(kept, abs=0.006)  # 5 standard errors of 200,000 coins
    assert vec.max().item() == pytest.approx(1 / kept)


def test_input_dropout_leaves_the_kept_rows_alone():
    fed = feed(*vectors(300), 1 << 30)
    before = [each.clone() for each in fed.kept]
    list(fed.epoch(1, HeadSettings(batch_size=64, input_dropout=0.5)))
    assert all(torch.equal(ours, was) for ours, was in zip(fed.kept, before, strict=True))
