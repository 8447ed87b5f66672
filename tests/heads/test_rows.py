"""Standardisation by train, and batches that hold every meme once, in memory or from disk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heads.rows import BLOCK, SQUARED_NORM, Feed, Rows, Scaling
from heads.settings import HeadSettings

PLAIN = HeadSettings(batch_size=64, min_steps=1)
CPU = torch.device("cpu")


def vectors(count, text_dim=3, image_dim=2, seed=0):
    draw = np.random.default_rng(seed)
    return (
        draw.normal(2, 3, (count, text_dim)).astype(np.float32),
        draw.normal(-1, 0.1, (count, image_dim)).astype(np.float32),
    )


def orders(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def feed(text, image, cache_bytes):
    return Feed(text, image, (Scaling.fit(text), Scaling.fit(image)), CPU, torch.float32, cache_bytes)


def test_rows_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"^3 text vectors, 1,200 image vectors and 3 labels are not one meme each$"):
        Rows(np.zeros((3, 2)), np.zeros((1200, 2)), np.zeros(3))


@given(count=st.sampled_from([2, 50, BLOCK, BLOCK + 1, 2 * BLOCK + 7]), shift=st.sampled_from([0.0, -5.0, 1e4]))
@settings(max_examples=15, deadline=None)
def test_scaling_takes_the_mean_off_and_gives_every_vector_one_mean_squared_norm(count, shift):
    vec = (np.random.default_rng(count).normal(size=(count, 3)) + shift).astype(np.float32)
    scaled = Scaling.fit(vec)(torch.from_numpy(vec)).double()
    plain = (vec.astype(np.float64) - vec.astype(np.float64).mean(0)) / vec.astype(np.float64).std(0)
    # float32 rounding of the shifted values, relative to a deviation of 1
    np.testing.assert_allclose(scaled, plain * np.sqrt(SQUARED_NORM / 3), atol=1e-6 * max(1, abs(shift)) * 5)
    assert scaled.square().sum(dim=1).mean().item() == pytest.approx(SQUARED_NORM, rel=1e-2)


@pytest.mark.parametrize("value", [0.0, 0.1, -7e8, 1e-20])
def test_a_constant_column_becomes_zero(value):
    vec = np.full((2 * BLOCK + 5, 2), value, np.float32)
    vec[:, 1] = np.linspace(-1, 1, len(vec))
    assert Scaling.fit(vec)(torch.from_numpy(vec))[:, 0].abs().max() == 0


def test_each_of_several_encoders_has_the_norm_of_one_and_a_floor_of_its_own():
    """Columns that vary little beside another encoder's are no rounding."""
    draw = np.random.default_rng(0)
    vec = np.concatenate([draw.normal(0, 1e-3, (500, 4)), draw.normal(0, 1e5, (500, 12))], axis=1).astype(np.float32)
    scaled = Scaling.fit(vec, (4, 12))(torch.from_numpy(vec))
    for block, alone in ((slice(0, 4), vec[:, :4]), (slice(4, 16), vec[:, 4:])):
        # other sums are added up in another order
        torch.testing.assert_close(scaled[:, block], Scaling.fit(alone)(torch.from_numpy(alone)), atol=1e-5, rtol=0)
    assert Scaling.fit(vec)(torch.from_numpy(vec))[:, :4].abs().max() == 0  # taken for one encoder's they are


def test_a_column_constant_in_train_only_is_not_blown_up_elsewhere():
    scale = Scaling.fit(np.full((10, 1), 3.0, np.float32))
    assert scale(torch.tensor([[3.5]])).tolist() == [[0.0]]


@pytest.mark.parametrize("cache_bytes", [1, 2 * BLOCK * 20, 1 << 30], ids=["one block", "two blocks", "all"])
def test_in_an_epoch_every_run_visits_every_meme_once_whatever_is_kept(cache_bytes):
    text, image = vectors(4 * BLOCK + 100)
    batches = list(feed(text, image, cache_bytes).epoch(1, PLAIN, orders(0, 1)))
    rows = torch.cat([batch.row for batch in batches], dim=1)
    assert rows.shape == (2, len(text))
    assert torch.equal(rows.sort(dim=1).values, torch.arange(len(text)).expand(2, -1))
    assert not torch.equal(rows[0], rows[1])
    assert max(batch.row.shape[1] for batch in batches) == PLAIN.batch_size
    for vec, part in ((text, "text_vec"), (image, "image_vec")):
        served = torch.cat([getattr(batch, part) for batch in batches], dim=1)
        assert torch.equal(served, Scaling.fit(vec)(torch.from_numpy(vec))[rows])


def test_windows_are_shuffled_within_and_between():
    fed = feed(*vectors(4 * BLOCK), 1)

    def visited(number, seed):
        return torch.cat([batch.row[0] for batch in fed.epoch(number, PLAIN, orders(seed))])

    first = visited(1, 0)
    assert torch.equal(first, visited(1, 0))
    assert not torch.equal(first, visited(1, 1))
    assert len({tuple((visited(number, 0)[::BLOCK] // BLOCK).tolist()) for number in range(4)}) > 1
    blocks = first.view(4, BLOCK) // BLOCK
    assert (blocks == blocks[:, :1]).all()  # one long stretch of the disk at a time
    assert not torch.equal(first[:BLOCK], first[:BLOCK].sort().values)


@pytest.mark.parametrize("cache_bytes", [1, 1 << 30])
def test_in_order_gives_rows_in_their_order(cache_bytes):
    text, image = vectors(BLOCK + 10)
    parts = list(feed(text, image, cache_bytes).in_order())
    assert torch.equal(torch.cat([part[0] for part in parts]), Scaling.fit(text)(torch.from_numpy(text)))
    assert torch.equal(torch.cat([part[1] for part in parts]), Scaling.fit(image)(torch.from_numpy(image)))


def test_small_train_sets_are_passed_until_an_epoch_has_its_steps():
    fed = feed(*vectors(100), 1 << 30)
    batches = list(fed.epoch(1, HeadSettings(batch_size=64, min_steps=5), orders(0)))
    assert [batch.row.shape[1] for batch in batches] == [64, 36] * 3
    assert torch.cat([batch.row[0] for batch in batches]).bincount().tolist() == [3] * 100
    assert not torch.equal(batches[0].row, batches[2].row)
