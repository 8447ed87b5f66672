"""Curves against scikit-learn's and statsmodels' answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from experiments.evaluate import curves
from experiments.results.records import Record
from heads.metrics import Counts


@st.composite
def scored(draw):
    """Two runs' probabilities, many of them tied, and labels of both kinds."""
    size = draw(st.integers(4, 40))
    probability = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    by_run = draw(st.lists(st.lists(probability, min_size=size, max_size=size), min_size=1, max_size=3))
    positive = draw(
        st.lists(st.booleans(), min_size=size, max_size=size).filter(lambda each: 0 < sum(each) < len(each))
    )
    return np.array(by_run), np.array(positive)


@given(scored())
def test_the_area_under_the_mean_roc_is_the_mean_area(memes):
    by_run, positive = memes
    negatives = (~positive).sum()
    across, up = curves.roc(by_run, positive)
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    assert (np.diff(across) >= 0).all()
    assert (np.diff(up) >= -1e-12).all()
    # between two negatives' steps a curve is straight or jumps at the step; the drawn one joins the tops of the jumps,
    # and so lies above by at most one negative's width
    area = np.trapezoid(up, across)
    exact = np.mean([roc_auc_score(positive, run) for run in by_run])
    assert exact - 1e-9 <= area <= exact + 1 / negatives


@given(scored())
def test_the_roc_of_one_run_goes_through_sklearns_points(memes):
    by_run, positive = memes
    across, up = curves.roc(by_run[:1], positive)
    false, true, _ = roc_curve(positive, by_run[0], drop_intermediate=False)
    for x in np.unique(false):
        assert up[np.isclose(across, x)].max() == pytest.approx(true[false == x].max())


@given(scored())
def test_the_mean_height_of_the_precision_recall_steps_is_the_average_precision(memes):
    by_run, positive = memes
    recall, precision = curves.precision_recall(by_run, positive)
    assert recall[-1] == 1
    exact = np.mean([average_precision_score(positive, run) for run in by_run])
    assert precision.mean() == pytest.approx(exact)


def test_curves_of_many_memes_have_few_points():
    draw = np.random.default_rng(0)
    by_run, positive = draw.random((2, 5_000)), draw.random(5_000) < 0.4
    for curve in (curves.roc, curves.precision_recall):
        across, _ = curve(by_run, positive)
        assert len(across) <= curves.STEPS + 2
        assert across[-1] == 1


def test_calibration_is_sklearns():
    draw = np.random.default_rng(0)
    probability = draw.random(500)
    positive = draw.random(500) < probability
    bins = curves.calibration(probability[None], positive)
    came, said = calibration_curve(positive, probability, n_bins=curves.BINS)
    np.testing.assert_allclose(bins.observed, came)
    np.testing.assert_allclose(bins.predicted, said)
    count = np.bincount((probability * curves.BINS).astype(int), minlength=curves.BINS)
    low, high = proportion_confint(np.round(came * count), count, method="wilson")
    np.testing.assert_allclose(bins.low, low, atol=1e-9)
    np.testing.assert_allclose(bins.high, high, atol=1e-9)


def test_a_run_said_twice_makes_calibration_no_surer():
    draw = np.random.default_rng(1)
    probability = draw.random(200)
    positive = draw.random(200) < probability
    once, twice = (curves.calibration(np.tile(probability, (runs, 1)), positive) for runs in (1, 2))
    np.testing.assert_allclose(once.low, twice.low)
    np.testing.assert_allclose(once.memes, twice.memes)


def test_probability_one_belongs_to_the_last_bin():
    bins = curves.calibration(np.array([[0.0, 1.0]]), np.array([False, True]))
    assert bins.predicted.tolist() == [0, 1]
    assert bins.observed.tolist() == [0, 1]


def record(seed, split, counts, tuned_counts) -> Record:
    return Record("text", "head", seed, split, 6, {}, 1, 0.3, 1.0, {}, {}, counts, tuned_counts, {}, "v1", 0.1, "run")


def test_counts_are_the_mean_of_the_runs_matrices():
    label = np.array([1, 1, 1, 0, 0, 0])
    called = np.array([[1, 1, 0, 1, 0, 0], [1, 1, 1, 0, 0, 0]])
    matrices = [confusion_matrix(label, run).ravel().tolist() for run in called]
    counts = [dict(zip(("rest", "false_alarms", "misses", "hits"), each, strict=True)) for each in matrices]
    none = dict.fromkeys(Counts._fields, 0)
    records = [record(seed, "test", each, none) for seed, each in enumerate(counts)] + [record(0, "dev", none, none)]
    mean = curves.mean_counts(records, "text", "test", tuned=False)
    assert [mean.rest, mean.false_alarms, mean.misses, mean.hits] == np.mean(matrices, axis=0).tolist()
    assert (curves.recall(mean), curves.false_positive_rate(mean)) == pytest.approx((2.5 / 3, 0.5 / 3))
    assert curves.precision(mean) == pytest.approx(2.5 / 3)
    assert curves.mean_counts(records, "text", "test", tuned=True) == Counts(0, 0, 0, 0)


def test_a_class_that_is_missing_leaves_its_rate_undefined():
    counts = Counts(hits=0.0, false_alarms=3.0, misses=0.0, rest=3.0)
    assert math.isnan(curves.recall(counts))
    assert curves.false_positive_rate(counts) == 0.5
