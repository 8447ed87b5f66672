"""DeLong's test, for groups and over runs, against quadratic-time definitions, papers and simulations."""

import numpy as np
import pytest
from drawn_scores import draw_memes, tied_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from experiments.evaluate import delong, intervals, resampling


def theta(positive_scores, negative_scores):
    """DeLong's kernel for all pairs: 1, one half for a tie, 0."""
    return np.greater.outer(positive_scores, negative_scores) + 0.5 * np.equal.outer(positive_scores, negative_scores)


@given(tied_scores())
def test_placements_are_the_mean_kernel(memes):
    (score,), positive = memes
    pairs = theta(score[positive], score[~positive])
    up, down = delong.placements(score, positive)
    np.testing.assert_allclose(up, pairs.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(down, pairs.mean(axis=0), atol=1e-12)


@given(tied_scores(runs=2, min_size=20, least=resampling.FEWEST))
def test_delong_is_the_structural_component_covariance(memes):
    """DeLong et al. 1988: S10 / m + S01 / n from numpy's covariance of the quadratic-time components."""
    scores, positive = memes
    kernels = np.stack([theta(score[positive], score[~positive]) for score in scores])
    covariance = np.cov(kernels.mean(axis=2)) / positive.sum() + np.cov(kernels.mean(axis=1)) / (~positive).sum()
    contrast = np.array([1, -1])
    found = delong.delong(scores[:1], scores[1:], positive, np.arange(len(positive)))
    np.testing.assert_allclose(found.difference, contrast @ kernels.mean(axis=(1, 2)), atol=1e-12)
    np.testing.assert_allclose(found.standard_error**2, contrast @ covariance @ contrast, atol=1e-12)


def test_clustered_delong_is_obuchowskis_sums():
    """Obuchowski 1997, written out as in the paper: groups of one label and of both."""
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 3)
    positive = generator.random(60) < 0.5
    positive[:3], positive[3:6] = True, False
    score = generator.normal(size=60) + positive
    up, down = delong.placements(score, positive)
    area, m, n = up.mean(), positive.sum(), (~positive).sum()
    x = [sum(up[group[positive] == g] - area) for g in range(20)]
    y = [sum(down[group[~positive] == g] - area) for g in range(20)]
    with_x, with_y = len(set(group[positive])), len(set(group[~positive]))
    s10 = with_x / ((with_x - 1) * m) * sum(value**2 for value in x)
    s01 = with_y / ((with_y - 1) * n) * sum(value**2 for value in y)
    s11 = 20 / 19 * sum(a * b for a, b in zip(x, y, strict=True))
    expected = s10 / m + s01 / n + 2 * s11 / (m * n)
    np.testing.assert_allclose(delong.auc_error(score[None], positive, group) ** 2, expected, rtol=1e-10)


def test_delong_over_runs_is_about_the_mean_of_their_areas():
    generator = np.random.default_rng(1)
    positive = generator.random(80) < 0.4
    a, b = generator.normal(size=(3, 80)) + positive, generator.normal(size=(5, 80))
    found = delong.delong(a, b, positive, np.arange(80))
    expected = np.mean([roc_auc_score(positive, s) for s in a]) - np.mean([roc_auc_score(positive, s) for s in b])
    np.testing.assert_allclose(found.difference, expected)
    again = delong.delong(a[::-1], b[::-1], positive, np.arange(80))
    np.testing.assert_allclose([again.standard_error, again.p], [found.standard_error, found.p])
    one = delong.delong(a.mean(axis=0, keepdims=True), b[:1], positive, np.arange(80))
    assert one.low < one.difference < one.high


def planted_runs(generator, label, runs):
    """Scores of one head under other seeds: the same signal and the same luck of memes, and a way of its own each."""
    directions = generator.normal(size=(len(label), 12))
    weights = generator.normal(size=(runs, 12)) * generator.choice([0.3, 0.8]) / 12**0.5
    return 1.2 * label + generator.normal(size=len(label)) + weights @ directions.T


@pytest.mark.slow
def test_other_seeds_of_one_head_are_called_different_as_often_as_the_level_says():
    generator = np.random.default_rng(0)
    alarms, power = [], []
    for _ in range(40):
        label = (generator.random(400) < 0.4).astype(int)
        group = np.arange(400) // 2
        runs = planted_runs(generator, label, 40)
        for _ in range(30):
            drawn = generator.permutation(40)[:10]
            alarms.append(delong.delong(runs[drawn[:5]], runs[drawn[5:]], label == 1, group).p < 0.05)
        better = runs[:5] + 0.6 * label
        power.append(delong.delong(better, runs[5:10], label == 1, group).p < 0.05)
    assert 0.03 <= np.mean(alarms) <= 0.065
    assert np.mean(power) > 0.9


def test_delong_names_what_it_cannot_tell():
    alone = np.arange(20)
    positive, perfect, constant = alone < 10, -alone[None].astype(float), np.zeros((1, 20))
    same = delong.delong(perfect, perfect, positive, alone)
    assert (same.difference, same.p) == (0, 1)
    apart = delong.delong(perfect, constant, positive, alone)
    assert (apart.difference, apart.standard_error) == (0.5, 0)
    four = (perfect[:, 8:12], constant[:, :4], positive[8:12], alone[:4])
    assert delong.permutation(*four) == pytest.approx(2 / 16, abs=0.03)  # none or all change sides
    # what the perfect head's own interval is above 1/2, Wilson's of 20 of 20
    assert (apart.low, apart.high) == (pytest.approx(20 / (20 + 1.959964**2) - 0.5), 0.5)
    assert np.isnan(delong.delong(perfect, constant, np.ones(20, bool), alone).p)


@pytest.mark.parametrize("label", [True, False])
def test_fewer_than_ten_groups_of_either_label_allow_no_test_of_any_kind(label):
    draw = np.random.default_rng(0)
    a, b, alone = draw.normal(size=(2, 60)), draw.normal(size=(3, 60)), np.arange(60)
    for nine, few in ((alone < 9, True), (alone < 10, False)):  # memes of the rarer label
        positive = nine if label else ~nine
        test = delong.delong(a, b, positive, alone)
        own = delong.contrast(*delong.placements_of_runs(a, positive), alone[positive], alone[~positive])
        assert np.isfinite(test.difference + own.difference)
        assert np.isnan([test.p, test.low, test.standard_error, own.p, own.low]).tolist() == [few] * 5
    # ten memes in nine groups are nine
    assert np.isnan(delong.delong(a, b, positive, np.maximum(alone, 1)).p)


@pytest.mark.parametrize(("faults", "joins"), [(0, True), (1, True), (9, True), (12, False)])
def test_a_difference_that_varies_in_few_groups_is_known_no_better_than_its_two_figures(faults, joins):
    """Groups of a meme of either label: what scores both alike is at 1/2 whichever groups there are, and another head
    that puts a few memes on the wrong side varies by next to nothing."""
    group, positive = np.arange(100) // 2, np.arange(100) % 2 == 1
    draw = np.random.default_rng(1)
    text = draw.normal(size=(2, 50)).repeat(2, axis=1)
    early = positive[None] + 0.01 * draw.normal(size=(1, 100))
    early[0, : 4 * faults : 4] += 2  # memes of label 0, before all of label 1
    found = delong.delong(early, text, positive, group)
    assert found.p < 0.001
    area = roc_auc_score(positive, early[0])
    (low, _), (_, high) = intervals.score_interval(area, 0.0, 50), intervals.score_interval(0.5, 0.0, 50)
    widest = found.difference - np.hypot(area - low, high - 0.5)
    assert (found.low <= widest + 1e-6) == joins
    assert np.isnan(found.of_memes) == joins


def test_constants_do_not_differ_on_any_memes():
    """Whatever number each run says of all memes, and however these are grouped, its AUC-ROC is 1/2 exactly."""
    a, b = (np.repeat([[value] for value in its], 40, axis=1) for its in ([0.3, 0.7, -1e300], [0.0]))
    for group in (np.arange(40), np.arange(40) // 3):
        found = delong.delong(a, b, np.arange(40) % 2 == 1, group)
        assert (found.difference, found.standard_error, found.p, found.low, found.high) == (0, 0, 1, 0, 0)


@pytest.mark.parametrize("runs", [(5, 5), (3, 10), (7, 7), (9, 6)])
def test_rounding_of_means_over_runs_is_no_difference(runs):
    """Fifths do not sum to 1 in float64: two heads without a fault must still be found equal, for certain."""
    positive = np.arange(40) % 2 == 1
    a, b = (np.tile(positive + scale, (count, 1)) for count, scale in zip(runs, (1.0, 2.0), strict=True))
    found = delong.delong(a, b, positive, np.arange(40))
    assert (found.difference, found.standard_error, found.p) == (0, 0, 1)
    constant = delong.delong(a, np.zeros((runs[1], 40)), positive, np.arange(40))
    assert (constant.difference, constant.standard_error) == (pytest.approx(0.5), 0)
    assert constant.p < 0.001
    assert (constant.low, constant.high) == (pytest.approx(40 / (40 + 1.959964**2) - 0.5), pytest.approx(0.5))


@given(tied_scores(runs=2, min_size=40, max_size=50, least=2 * resampling.FEWEST), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_permuting_memes_changes_no_test(memes, random):
    scores, positive = memes
    shuffled = random.sample(range(len(positive)), len(positive))
    group = np.arange(len(positive)) // 2
    before = delong.delong(scores[:1], scores[1:], positive, group)
    after = delong.delong(scores[:1, shuffled], scores[1:, shuffled], positive[shuffled], group[shuffled])
    np.testing.assert_allclose(
        [after.difference, after.standard_error], [before.difference, before.standard_error], atol=1e-9
    )


@pytest.mark.slow
def test_delong_raises_false_alarms_as_often_as_it_says():
    alarms = 0
    for simulation in range(2000):
        generator = np.random.default_rng(simulation)
        score, positive, group = draw_memes(generator, 300, 1.0, siblings=2, shared=0.5)
        other = positive + generator.normal(size=300)
        alarms += delong.delong(score[None], other[None], positive, group).p < 0.05
    assert 0.035 <= alarms / 2000 <= 0.065


def test_a_contrast_of_single_runs_is_delongs_test():
    draw = np.random.default_rng(0)
    positive, group = draw.random(60) < 0.4, draw.integers(0, 45, 60)
    group = np.unique(group, return_inverse=True)[1]
    a = draw.normal(size=(1, 60)) + positive
    b = a + draw.normal(size=(1, 60))
    (up_a, down_a), (up_b, down_b) = (delong.placements_of_runs(each, positive) for each in (a, b))
    found = delong.contrast(up_a - up_b, down_a - down_b, group[positive], group[~positive])
    expected = delong.delong(a, b, positive, group)
    for name in ("difference", "standard_error", "p", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12), name


def test_runs_that_agree_on_what_they_lose_are_no_luck_however_far_apart_they_are():
    """Each run is compared with itself; DeLong's test takes the runs of the two sides for different ones."""
    draw = np.random.default_rng(1)
    positive, group = draw.random(200) < 0.5, np.arange(200)
    a = draw.normal(size=(4, 200)) + positive * np.array([[0.2], [0.8], [1.6], [3.0]])
    (up, down), groups = delong.placements_of_runs(a, positive), (group[positive], group[~positive])
    found = delong.contrast(up - (up - 0.1), down - (down - 0.1), *groups)
    assert (found.difference, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert delong.contrast(up, down, *groups).of_seeds[0] > 0.001
