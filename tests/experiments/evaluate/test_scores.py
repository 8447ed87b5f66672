"""A head's figures: the same whether counted by heads.metrics or by the bootstrap's weights."""

import numpy as np
import pytest
import torch
from drawn_scores import tied_scores
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from experiments.evaluate import intervals, resampling
from experiments.evaluate.scores import (
    DECISIONS,
    MEAN_ACCURACY,
    TUNED,
    Scores,
    chance,
    figure,
    ranking,
    row,
    running,
    statistic,
    weighted_areas,
)
from heads.metrics import METRICS


def scores(logit, label, threshold=0.3, temperature=1.0) -> Scores:
    logit = torch.tensor(np.atleast_2d(logit), dtype=torch.float32)
    fill = torch.ones(len(logit), dtype=torch.float64)
    return Scores("early", "head", "test", logit, np.asarray(label), threshold * fill, temperature * fill)


@given(st.integers(0, 1000), st.sampled_from([0.5, 1.0, 3.0]))
def test_bootstrap_recomputes_the_table_s_metrics(seed, temperature):
    """Memes drawn once each give the table's means; memes drawn again give those of the memes written out."""
    draw = np.random.default_rng(seed)
    label = np.r_[0, 1, draw.integers(0, 2, 20)]
    logit = np.round(draw.normal(size=(3, 22)), 1)  # rounded, so that scores tie
    times = draw.integers(0, 3, 22)
    times[:2] += 1
    once = scores(logit, label, temperature=temperature)
    written_out = scores(np.repeat(logit, times, axis=1), np.repeat(label, times), temperature=temperature)
    draws = statistic(once)(np.stack([np.ones(22), times], axis=1).astype(np.float32))
    for drawn, head in enumerate((once, written_out)):
        at_half, tuned = head.metrics(0.5), head.metrics(head.threshold)
        expected = {name: at_half[name].mean() for name in METRICS if name != "ece"}
        expected |= {TUNED + name: tuned[name].mean() for name in DECISIONS} | {MEAN_ACCURACY: head.right.mean()}
        assert expected.keys() == draws.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(draws[name][drawn], value, atol=1e-6, err_msg=name)


def test_figure_is_mean_and_sample_spread_over_runs():
    found = figure(np.array([0.7, 0.8, 0.9]), np.linspace(0.7, 0.9, 101), 1000)
    assert (found.mean, found.sd) == pytest.approx((0.8, 0.1))  # ddof=1; ddof=0 would say .082
    variance = np.linspace(0.7, 0.9, 101).var() + 0.1**2 / 3  # memes and seeds
    assert (found.low, found.high) == pytest.approx(intervals.score_interval(0.8, variance, 1000), rel=1e-12)
    assert np.isnan(figure(np.array([0.7]), None, 10).sd)


def test_a_metric_undefined_for_one_run_is_undefined():
    found = row(scores([[-3, -2, -1, -4], [1, 2, 3, 4]], [0, 1, 1, 0], threshold=0.999), {}, np.arange(4))
    assert np.isnan(found.metrics["precision"].mean)
    assert found.metrics["precision"].undefined == 1
    assert found.metrics["recall"].mean == 0.5
    assert found.tuned["precision"].undefined == 2


def test_one_class_leaves_no_area_but_an_accuracy():
    found = row(scores([1.0, 2.0, -1.0], [1, 1, 1]), {}, np.arange(3)).metrics
    assert np.isnan(found["auc_roc"].mean)
    assert found["accuracy"].mean == pytest.approx(2 / 3)
    assert found["auc_roc"].undefined == 1


def test_interval_has_the_table_s_figure_inside():
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, 300)
    head = scores(draw.normal(size=(5, 300)) + label, label)
    draws = resampling.bootstrap(np.arange(300), {"early": statistic(head)}, draws=400)["early"]
    found = row(head, draws, np.arange(300))
    for name, each in found.metrics.items():
        assert (each.low < each.mean < each.high) or name == "ece"
    assert 0.02 < found.metrics["auc_roc"].high - found.metrics["auc_roc"].low < 0.12


def test_chance_is_what_a_fair_coin_scores():
    label = (np.arange(2000) < 600).astype(int)
    coins = scores(np.random.default_rng(0).choice([-1e-9, 1e-9], (400, 2000)), label).metrics(0.5)
    for name, expected in chance(label).items():
        # 400 coins of 2,000 memes: the largest standard error, of recall, is .001
        assert coins[name].mean() == pytest.approx(expected, abs=0.004), name


@given(tied_scores(), st.data())
def test_weighted_areas_are_scikit_learns_with_ties_and_repeats(memes, data):
    scores, positive = memes
    times = data.draw(arrays(np.int8, len(positive), elements=st.integers(0, 3)))
    times[[int(np.argmax(positive)), int(np.argmin(positive))]] += 1
    auc_roc, precision = weighted_areas(
        ranking(scores[0], positive), np.stack([times, times * 0 + 1], axis=1).astype(np.float32)
    )
    np.testing.assert_allclose(auc_roc[0], roc_auc_score(positive, scores[0], sample_weight=times), atol=1e-6)
    np.testing.assert_allclose(
        precision[0], average_precision_score(positive, scores[0], sample_weight=times), atol=1e-6
    )
    np.testing.assert_allclose(auc_roc[1], roc_auc_score(positive, scores[0]), atol=1e-6)


@pytest.mark.parametrize("label", [True, False])
def test_areas_of_one_class_are_undefined(label):
    ranked = ranking(np.arange(3.0), np.full(3, label))
    auc_roc, precision = weighted_areas(ranked, np.ones((3, 2), np.float32))
    assert np.isnan(auc_roc).all()
    assert np.isnan(precision).all() == (not label)


@given(st.integers(0, 70), st.integers(1, 3))
def test_running_sums_are_cumulative_sums(count, draws):
    weight = np.arange(80 * draws, dtype=np.float32).reshape(80, draws)
    memes = np.random.default_rng(count).integers(80, size=count)
    expected = np.concatenate([np.zeros((1, draws)), np.cumsum(weight[memes], axis=0)])
    np.testing.assert_array_equal(running(weight, memes)[: count + 1], expected)
