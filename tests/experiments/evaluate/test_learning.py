"""Subsets are nested and stratified and keep groups whole; figures count draws; a law is found, or refused in words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from sklearn.metrics import roc_auc_score

from experiments import words
from experiments.evaluate import delong, learning
from experiments.results.learning import PowerLaw
from experiments.words import learning as sentences


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=8, max_size=60),
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_subsets_are_nested_whole_groups_and_never_too_large(memes, sizes, seed):
    group, positive = (np.array(each) for each in zip(*memes, strict=True))
    group = np.unique(group, return_inverse=True)[1]
    found = learning.nested(group, positive, sizes, seed)
    assert list(found) == sorted(set(sizes))
    before: set[int] = set()
    for size, rows in found.items():
        assert before <= set(rows.tolist())
        assert len(rows) <= size
        inside = np.isin(np.arange(len(group)), rows)
        assert all(len(set(inside[group == each].tolist())) == 1 for each in np.unique(group))
        before = set(rows.tolist())
        left = np.bincount(group)[np.unique(group[~inside])]
        assert not len(left) or left.min() > size - len(rows)  # what fits is in


@given(st.integers(20, 200), st.floats(0.05, 0.95), st.integers(0, 5))
def test_single_memes_fill_a_size_with_trains_share_of_labels(count, share, seed):
    positive = np.random.default_rng(seed).random(count) < share
    for size, rows in learning.nested(np.arange(count), positive, [count // 4, count // 2, count], seed).items():
        assert len(rows) == size
        assert abs(positive[rows].sum() - size * positive.mean()) <= 1


def test_another_draw_is_another_subset_and_the_same_is_the_same():
    group, positive = np.arange(100), np.arange(100) % 3 == 0
    one, other = (learning.nested(group, positive, [30], seed)[30] for seed in (0, 1))
    assert set(one) != set(other)
    np.testing.assert_array_equal(one, learning.nested(group, positive, [30], 0)[30])


def made(areas, spread=0.0, memes=4_000, draws=3, seed=0):
    """Scores of a few sizes with these AUC-ROCs: normal ones, of which draws have a luck of their own."""
    draw = np.random.default_rng(seed)
    positive, noise = np.arange(memes) % 2 == 0, draw.normal(size=memes)
    logits = {}
    for size, area in zip((100, 300, 900, 2700, 8100), areas, strict=False):
        shift = np.sqrt(2) * ndtri(area)
        count = 1 if size == 8100 else draws
        logits["text", size] = [
            (noise + 0.2 * draw.normal(size=memes) + (shift * 1.02 + spread * draw.normal()) * positive)[None]
            for _ in range(count)
        ]
    return logits, {size: float(size) for _, size in logits}, positive


def evaluated(*made_up):
    logits, memes, positive = made_up
    group = np.arange(len(positive))
    return learning.evaluate(logits, memes, {"text": "head"}, "test", positive, group)


def law(*areas, **how) -> PowerLaw:
    return evaluated(*made(areas, **how))[1][0]


def test_a_figure_counts_draws_and_memes_as_luck():
    logits, memes, positive = made([0.7, 0.8], spread=0.5, memes=400)
    points, _ = evaluated(logits, memes, positive)
    areas = [roc_auc_score(positive, draw[0]) for draw in logits["text", 100]]
    assert points[0].auc_roc.mean == pytest.approx(np.mean(areas))
    assert points[0].auc_roc.sd == pytest.approx(np.std(areas, ddof=1))
    assert (points[0].draws, points[0].seeds, points[0].memes) == (3, 1, 100)
    calm = evaluated(*made([0.7, 0.8], memes=400))[0][0].auc_roc
    assert points[0].auc_roc.high - points[0].auc_roc.low > 1.5 * (calm.high - calm.low)


def test_a_power_law_is_found_with_what_doubling_brings():
    expected = [0.9 - 0.05 * (size / 8100) ** -0.4 for size in (100, 300, 900, 2700, 8100)]
    found = law(*expected)
    assert found.refused == ""
    assert found.rise == pytest.approx(expected[-1] - expected[0], abs=0.02)
    assert found.gain == pytest.approx(0.05 * (1 - 2**-0.4), abs=0.006)
    assert found.gain_low < 0.05 * (1 - 2**-0.4) < found.gain_high
    rise, gain = words.change(found.rise, found.rise_low, found.rise_high), words.bare(found.gain_high)
    said = sentences.doubling(found)
    assert said.startswith(f"Text on test: AUC-ROC rises by {rise} from 100 to 8,100 memes of train; twice as many ")
    assert said.endswith(f", +{gain}] more.")


@pytest.mark.parametrize(
    ("areas", "how", "refused", "says"),
    [
        ((0.6, 0.7, 0.8), {}, "too few sizes", "is not said: that takes four sizes or more."),
        ((0.7, 0.7, 0.7, 0.7, 0.7), {}, "no rise", "no evidence that AUC-ROC rises from 100 to 8,100 memes of train ("),
        ((0.6, 0.8, 0.62, 0.8, 0.81), {}, "poor fit", "is not said: the sizes do not lie on a power law (p <.001)."),
        ((0.6, 0.6, 0.6, 0.61, 0.66), {"spread": 0.1}, "too wide", "is too uncertain beside what was seen."),
    ],
)  # fmt: skip
def test_a_law_is_refused_in_words(areas, how, refused, says):
    found = law(*areas, **how)
    assert found.refused == refused
    assert says in sentences.doubling(found)


def test_test_memes_of_one_group_make_no_law():
    logits, memes, positive = made([0.6, 0.7, 0.8, 0.85, 0.86], memes=40)
    _, [found] = learning.evaluate(logits, memes, {"text": "head"}, "test", positive, np.zeros(40, int))
    assert found.refused == "too few memes"
    says = "Text on test: too few memes to tell whether AUC-ROC rises from 100 to 8,100 memes of train (+"
    assert sentences.doubling(found).startswith(says)
    assert "undefined" not in sentences.doubling(found)


def test_memes_are_shared_by_all_sizes():
    """The same memes score all sizes: their luck moves the curve up and down and leaves its rise."""
    logits, memes, positive = made([0.7, 0.72])
    groups = (np.arange(len(positive))[positive], np.arange(len(positive))[~positive])
    placed = [learning.Placed.of(logits["text", size], positive) for size in memes]
    found = learning.covariances(placed, groups)
    assert found[0, 1] / np.sqrt(found[0, 0] * found[1, 1]) > 0.7
    each = [delong.contrast(one.up, one.down, *groups).standard_error ** 2 for one in placed]
    np.testing.assert_allclose(np.diag(found), each)


def test_a_head_that_all_runs_diverged_at_a_size_has_no_point_there():
    logits, memes, positive = made([0.6, 0.7, 0.8])
    logits["text", 300] = []
    points, [found] = evaluated(logits, memes, positive)
    assert [point.size for point in points] == [100, 900]
    assert found.refused == "too few sizes"


@settings(max_examples=8)
@given(st.integers(0, 1_000), st.integers(4, 24))
def test_however_few_memes_there_are_a_law_is_found_or_refused(seed, memes):
    found = law(0.6, 0.7, 0.75, 0.8, 0.8, memes=memes, spread=0.3, seed=seed)
    assert sentences.doubling(found).startswith("Text on test: ")
    assert found.refused or found.gain_low <= found.gain <= found.gain_high
