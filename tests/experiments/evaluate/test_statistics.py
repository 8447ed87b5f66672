"""Intervals and tests against scikit-learn, statsmodels, SciPy and quadratic-time definitions."""

import itertools
import time

import numpy as np
import pytest
from drawn_scores import draw_memes, tied_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtr
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from experiments.evaluate import scores as of_scores
from experiments.evaluate import statistics


def areas(scores, positive):
    """The bootstrap's statistic, as the table uses it."""
    rankings = [of_scores.ranking(score, positive) for score in np.atleast_2d(scores)]
    return lambda weight: {"auc_roc": np.mean([of_scores.weighted_areas(rank, weight)[0] for rank in rankings], axis=0)}


def theta(positive_scores, negative_scores):
    """DeLong's kernel for all pairs: 1, one half for a tie, 0."""
    return np.greater.outer(positive_scores, negative_scores) + 0.5 * np.equal.outer(positive_scores, negative_scores)


@given(tied_scores())
def test_placements_are_the_mean_kernel(memes):
    (score,), positive = memes
    pairs = theta(score[positive], score[~positive])
    up, down = statistics.placements(score, positive)
    np.testing.assert_allclose(up, pairs.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(down, pairs.mean(axis=0), atol=1e-12)


@given(tied_scores(runs=2, min_size=20, least=statistics.FEWEST))
def test_delong_is_the_structural_component_covariance(memes):
    """DeLong et al. 1988: S10 / m + S01 / n from numpy's covariance of the quadratic-time components."""
    scores, positive = memes
    kernels = np.stack([theta(score[positive], score[~positive]) for score in scores])
    covariance = np.cov(kernels.mean(axis=2)) / positive.sum() + np.cov(kernels.mean(axis=1)) / (~positive).sum()
    contrast = np.array([1, -1])
    found = statistics.delong(scores[:1], scores[1:], positive, np.arange(len(positive)))
    np.testing.assert_allclose(found.difference, contrast @ kernels.mean(axis=(1, 2)), atol=1e-12)
    np.testing.assert_allclose(found.standard_error**2, contrast @ covariance @ contrast, atol=1e-12)


def test_clustered_delong_is_obuchowskis_sums():
    """Obuchowski 1997, written out as in the paper: groups of one label and of both."""
    generator = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 3)
    positive = generator.random(60) < 0.5
    positive[:3], positive[3:6] = True, False
    score = generator.normal(size=60) + positive
    up, down = statistics.placements(score, positive)
    area, m, n = up.mean(), positive.sum(), (~positive).sum()
    x = [sum(up[group[positive] == g] - area) for g in range(20)]
    y = [sum(down[group[~positive] == g] - area) for g in range(20)]
    with_x, with_y = len(set(group[positive])), len(set(group[~positive]))
    s10 = with_x / ((with_x - 1) * m) * sum(value**2 for value in x)
    s01 = with_y / ((with_y - 1) * n) * sum(value**2 for value in y)
    s11 = 20 / 19 * sum(a * b for a, b in zip(x, y, strict=True))
    expected = s10 / m + s01 / n + 2 * s11 / (m * n)
    np.testing.assert_allclose(statistics.auc_error(score[None], positive, group) ** 2, expected, rtol=1e-10)


def test_delong_over_runs_is_about_the_mean_of_their_areas():
    generator = np.random.default_rng(1)
    positive = generator.random(80) < 0.4
    a, b = generator.normal(size=(3, 80)) + positive, generator.normal(size=(5, 80))
    found = statistics.delong(a, b, positive, np.arange(80))
    expected = np.mean([roc_auc_score(positive, s) for s in a]) - np.mean([roc_auc_score(positive, s) for s in b])
    np.testing.assert_allclose(found.difference, expected)
    again = statistics.delong(a[::-1], b[::-1], positive, np.arange(80))
    np.testing.assert_allclose([again.standard_error, again.p], [found.standard_error, found.p])
    one = statistics.delong(a.mean(axis=0, keepdims=True), b[:1], positive, np.arange(80))
    assert one.low < one.difference < one.high


def test_memes_that_share_anything_move_together():
    text, image = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])
    assert statistics.connected(text, image).tolist() == [0, 0, 0, 1, 2]
    assert statistics.connected(text).tolist() == [0, 0, 1, 2, 3]
    assert statistics.connected(np.empty(0, int), np.empty(0, int)).tolist() == []


@given(st.data())
def test_connected_components_are_those_of_a_search(data):
    count = data.draw(st.integers(1, 12))
    text, image = (np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))) for _ in range(2))
    found = statistics.connected(text, image)
    reached = (text[:, None] == text) | (image[:, None] == image)
    for _ in range(count):
        reached = reached @ reached
    np.testing.assert_array_equal(found[:, None] == found, reached)


@pytest.mark.parametrize("memes", [1, 10, 150])
def test_a_figure_that_never_varies_is_not_certain(memes):
    low, high = statistics.score_interval(1.0, 0.0, memes)
    assert high == 1.0
    assert low == pytest.approx(memes / (memes + 1.96**2), abs=1e-3)
    assert statistics.score_interval(0.5, 0.25 / 400, 10_000) == pytest.approx((0.451, 0.549), abs=1e-3)


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
            alarms.append(statistics.delong(runs[drawn[:5]], runs[drawn[5:]], label == 1, group).p < 0.05)
        better = runs[:5] + 0.6 * label
        power.append(statistics.delong(better, runs[5:10], label == 1, group).p < 0.05)
    assert 0.03 <= np.mean(alarms) <= 0.065
    assert np.mean(power) > 0.9


def test_delong_names_what_it_cannot_tell():
    alone = np.arange(20)
    positive, perfect, constant = alone < 10, -alone[None].astype(float), np.zeros((1, 20))
    same = statistics.delong(perfect, perfect, positive, alone)
    assert (same.difference, same.p) == (0, 1)
    apart = statistics.delong(perfect, constant, positive, alone)
    assert (apart.difference, apart.standard_error) == (0.5, 0)
    four = (perfect[:, 8:12], constant[:, :4], positive[8:12], alone[:4])
    assert statistics.permutation(*four) == pytest.approx(2 / 16, abs=0.03)  # none or all change sides
    # what the perfect head's own interval is above 1/2, Wilson's of 20 of 20
    assert (apart.low, apart.high) == (pytest.approx(20 / (20 + 1.959964**2) - 0.5), 0.5)
    assert np.isnan(statistics.delong(perfect, constant, np.ones(20, bool), alone).p)


@pytest.mark.parametrize("label", [True, False])
def test_fewer_than_ten_groups_of_either_label_allow_no_test_of_any_kind(label):
    draw = np.random.default_rng(0)
    a, b, alone = draw.normal(size=(2, 60)), draw.normal(size=(3, 60)), np.arange(60)
    for nine, few in ((alone < 9, True), (alone < 10, False)):  # memes of the rarer label
        positive = nine if label else ~nine
        test = statistics.delong(a, b, positive, alone)
        own = statistics.contrast(*statistics.placements_of_runs(a, positive), alone[positive], alone[~positive])
        assert np.isfinite(test.difference + own.difference)
        assert np.isnan([test.p, test.low, test.standard_error, own.p, own.low]).tolist() == [few] * 5
    # ten memes in nine groups are nine
    assert np.isnan(statistics.delong(a, b, positive, np.maximum(alone, 1)).p)


@pytest.mark.parametrize(("faults", "joins"), [(0, True), (1, True), (9, True), (12, False)])
def test_a_difference_that_varies_in_few_groups_is_known_no_better_than_its_two_figures(faults, joins):
    """Groups of a meme of either label: what scores both alike is at 1/2 whichever groups there are, and another head
    that puts a few memes on the wrong side varies by next to nothing."""
    group, positive = np.arange(100) // 2, np.arange(100) % 2 == 1
    draw = np.random.default_rng(1)
    text = draw.normal(size=(2, 50)).repeat(2, axis=1)
    early = positive[None] + 0.01 * draw.normal(size=(1, 100))
    early[0, : 4 * faults : 4] += 2  # memes of label 0, before all of label 1
    found = statistics.delong(early, text, positive, group)
    assert found.p < 0.001
    area = roc_auc_score(positive, early[0])
    (low, _), (_, high) = statistics.score_interval(area, 0.0, 50), statistics.score_interval(0.5, 0.0, 50)
    widest = found.difference - np.hypot(area - low, high - 0.5)
    assert (found.low <= widest + 1e-6) == joins
    assert np.isnan(found.of_memes) == joins


def test_constants_do_not_differ_on_any_memes():
    """Whatever number each run says of all memes, and however these are grouped, its AUC-ROC is 1/2 exactly."""
    a, b = (np.repeat([[value] for value in its], 40, axis=1) for its in ([0.3, 0.7, -1e300], [0.0]))
    for group in (np.arange(40), np.arange(40) // 3):
        found = statistics.delong(a, b, np.arange(40) % 2 == 1, group)
        assert (found.difference, found.standard_error, found.p, found.low, found.high) == (0, 0, 1, 0, 0)


@pytest.mark.parametrize("runs", [(5, 5), (3, 10), (7, 7), (9, 6)])
def test_rounding_of_means_over_runs_is_no_difference(runs):
    """Fifths do not sum to 1 in float64: two heads without a fault must still be found equal, for certain."""
    positive = np.arange(40) % 2 == 1
    a, b = (np.tile(positive + scale, (count, 1)) for count, scale in zip(runs, (1.0, 2.0), strict=True))
    found = statistics.delong(a, b, positive, np.arange(40))
    assert (found.difference, found.standard_error, found.p) == (0, 0, 1)
    constant = statistics.delong(a, np.zeros((runs[1], 40)), positive, np.arange(40))
    assert (constant.difference, constant.standard_error) == (pytest.approx(0.5), 0)
    assert constant.p < 0.001
    assert (constant.low, constant.high) == (pytest.approx(40 / (40 + 1.959964**2) - 0.5), pytest.approx(0.5))


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_statsmodels_and_scipys(only_a, only_b):
    right_a = np.r_[np.ones(only_a, bool), np.zeros(only_b, bool), np.ones(7, bool), np.zeros(4, bool)]
    right_b = np.r_[np.zeros(only_a, bool), np.ones(only_b, bool), np.ones(7, bool), np.zeros(4, bool)]
    found = statistics.mcnemar(right_a, right_b, np.arange(len(right_a)))
    assert (found.only_a, found.only_b) == (only_a, only_b)
    np.testing.assert_allclose(found.p, reference_mcnemar([[7, only_a], [only_b, 4]], exact=True).pvalue)
    if only_a + only_b:
        np.testing.assert_allclose(found.p, binomtest(only_a, only_a + only_b).pvalue)


@given(arrays(np.int8, st.integers(1, 9), elements=st.integers(-2, 2)))
def test_memes_of_a_group_change_sides_together(surplus):
    right_a = np.concatenate([[step > 0] * abs(step) for step in surplus] + [[True, False]]).astype(bool)
    right_b = np.concatenate([[step < 0] * abs(step) for step in surplus] + [[True, False]]).astype(bool)
    group = np.concatenate([np.repeat(np.arange(len(surplus)), abs(surplus)), [9, 9]]).astype(int)
    sums = [sum(signs) for signs in itertools.product(*((step, -step) for step in surplus.tolist()))]
    as_large = np.mean([abs(each) >= abs(int(surplus.sum())) for each in sums])
    assert statistics.mcnemar(right_a, right_b, group).p == pytest.approx(as_large)


def test_a_gain_on_one_meme_seen_twenty_times_is_no_gain():
    right_a, right_b = np.ones(20, bool), np.zeros(20, bool)
    assert statistics.mcnemar(right_a, right_b, np.arange(20)).p < 1e-5
    assert statistics.mcnemar(right_a, right_b, np.zeros(20, int)).p == 1.0


def test_draws_that_wait_are_dropped_when_one_is_stopped():
    done = []

    def stopped(weight):
        raise KeyboardInterrupt

    def slow(weight):
        time.sleep(0.05)
        done.append(weight)
        return {"mean": weight.mean(axis=0)}

    with pytest.raises(KeyboardInterrupt):
        statistics.bootstrap(np.arange(50), {"first": stopped} | {str(number): slow for number in range(40)}, threads=1)
    assert len(done) < 20


@given(arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
@settings(max_examples=20)  # statsmodels takes 40 ms each
@pytest.mark.slow
def test_holm_is_statsmodels(p):
    np.testing.assert_allclose(statistics.holm(p), multipletests(p, method="holm")[1])


def test_holm_leaves_undefined_tests_out():
    np.testing.assert_allclose(statistics.holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04])


def test_groups_join_equal_texts_but_not_empty_ones():
    key = np.array([b"b", b"a", b"b", b"", b""])
    group = statistics.groups(key, key == b"")
    assert group[0] == group[2]
    assert sorted(np.bincount(group)) == [1, 1, 1, 2]


def test_resamples_move_groups_whole_and_draw_as_many_groups_as_there_are():
    group = np.array([0, 1, 0, 2, 3, 3, 3])
    weight = np.concatenate(list(statistics.resamples(group, 50, seed=0)), axis=1)
    assert weight.shape == (7, 50)
    np.testing.assert_array_equal(weight[0], weight[2])
    np.testing.assert_array_equal(weight[4], weight[6])
    np.testing.assert_array_equal(weight[[0, 1, 3, 4]].sum(axis=0), 4)
    assert len(np.unique(weight, axis=1).T) > 10


def test_resamples_do_not_depend_on_how_many_are_held(monkeypatch):
    group = np.arange(10)
    whole = np.concatenate(list(statistics.resamples(group, 30, seed=3)), axis=1)
    monkeypatch.setattr(statistics, "CHUNK", 40)
    monkeypatch.setattr(statistics, "NARROWEST", 1)
    parts = list(statistics.resamples(group, 30, seed=3))
    assert [part.shape[1] for part in parts] == [4] * 7 + [2]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_bootstrap_uses_the_same_memes_for_all_heads():
    score, positive, group = draw_memes(np.random.default_rng(0), 60, 1.0)
    draws = statistics.bootstrap(group, {"a": areas(score, positive), "b": areas(2 * score + 1, positive)}, draws=50)
    np.testing.assert_array_equal(draws["a"]["auc_roc"], draws["b"]["auc_roc"])
    assert draws["a"]["auc_roc"].std() > 0.01


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_bootstrap_is_the_same_whatever_the_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(statistics, "CHUNK", 400)
    score, positive, group = draw_memes(np.random.default_rng(0), 90, 1.0)
    gap = np.random.default_rng(1).random(90).astype(np.float32)  # no whole numbers: an order of summation would show
    heads = {name: areas(scores, positive) for name, scores in (("a", score), ("b", -score))}
    heads = {name: lambda weight, area=area: area(weight) | {"gap": gap @ weight} for name, area in heads.items()}
    expected = [{name: each(weight) for name, each in heads.items()} for weight in statistics.resamples(group, 200, 0)]
    found = statistics.bootstrap(group, heads, draws=200, threads=threads)
    for name in heads:
        for metric in ("auc_roc", "gap"):
            whole = np.concatenate([part[name][metric] for part in expected])
            np.testing.assert_array_equal(found[name][metric], whole)


def test_a_fault_in_one_thread_ends_the_bootstrap():
    def broken(weight):
        raise ValueError("no such head")

    with pytest.raises(ValueError, match="no such head"):
        statistics.bootstrap(np.arange(9), {"a": broken})


def test_interval_is_undefined_when_many_draws_are():
    draws = np.linspace(0, 1, 101)
    np.testing.assert_allclose(statistics.interval(draws), (0.025, 0.975))
    draws[:10] = np.nan
    assert np.isnan(statistics.interval(draws)).all()


@given(tied_scores(runs=2, min_size=40, max_size=50, least=2 * statistics.FEWEST), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_permuting_memes_changes_no_test(memes, random):
    scores, positive = memes
    shuffled = random.sample(range(len(positive)), len(positive))
    group = np.arange(len(positive)) // 2
    before = statistics.delong(scores[:1], scores[1:], positive, group)
    after = statistics.delong(scores[:1, shuffled], scores[1:, shuffled], positive[shuffled], group[shuffled])
    np.testing.assert_allclose(
        [after.difference, after.standard_error], [before.difference, before.standard_error], atol=1e-9
    )


def covered(simulations: int, draws: int, memes: int, **family) -> tuple[float, float, float]:
    """How often the true AUC-ROC lies in the bootstrap's interval by groups, with every meme alone, and in DeLong's."""
    apart, truth = 1.0, float(ndtr(1.0 / np.sqrt(2)))  # of two normals of unit variance
    hits = np.zeros(3)
    for simulation in range(simulations):
        score, positive, group = draw_memes(np.random.default_rng(simulation), memes, apart, **family)
        for kind, moving in enumerate((group, np.arange(memes))):
            found = statistics.bootstrap(moving, {"head": areas(score, positive)}, draws=draws, seed=simulation)
            low, high = statistics.interval(found["head"]["auc_roc"])
            hits[kind] += low <= truth <= high
        error = 1.96 * statistics.auc_error(score[None], positive, group)
        hits[2] += abs(statistics.placements(score, positive)[0].mean() - truth) <= error
    by_group, alone, delong = hits / simulations
    return by_group, alone, delong


def test_interval_covers_as_often_as_it_says():
    by_group, alone, delong = covered(300, 300, memes=240)
    assert by_group == alone
    # three standard errors of 300 tosses of .95 are .038
    assert 0.91 <= by_group <= 0.988
    assert 0.91 <= delong <= 0.988


@pytest.mark.slow
def test_interval_covers_as_often_as_it_says_with_siblings():
    by_group, alone, delong = covered(1000, 500, memes=600, siblings=4, shared=0.9)
    # three standard errors of 1,000 tosses of .95 are .021; a little more, for both rest on large numbers of families
    assert 0.92 <= by_group <= 0.972
    assert 0.92 <= delong <= 0.972
    assert alone < 0.8  # what forgetting the families costs


@pytest.mark.slow
def test_delong_raises_false_alarms_as_often_as_it_says():
    alarms = 0
    for simulation in range(2000):
        generator = np.random.default_rng(simulation)
        score, positive, group = draw_memes(generator, 300, 1.0, siblings=2, shared=0.5)
        other = positive + generator.normal(size=300)
        alarms += statistics.delong(score[None], other[None], positive, group).p < 0.05
    assert 0.035 <= alarms / 2000 <= 0.065


def test_a_contrast_of_single_runs_is_delongs_test():
    draw = np.random.default_rng(0)
    positive, group = draw.random(60) < 0.4, draw.integers(0, 45, 60)
    group = np.unique(group, return_inverse=True)[1]
    a = draw.normal(size=(1, 60)) + positive
    b = a + draw.normal(size=(1, 60))
    (up_a, down_a), (up_b, down_b) = (statistics.placements_of_runs(each, positive) for each in (a, b))
    found = statistics.contrast(up_a - up_b, down_a - down_b, group[positive], group[~positive])
    expected = statistics.delong(a, b, positive, group)
    for name in ("difference", "standard_error", "p", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12), name


def test_runs_that_agree_on_what_they_lose_are_no_luck_however_far_apart_they_are():
    """Each run is compared with itself; DeLong's test takes the runs of the two sides for different ones."""
    draw = np.random.default_rng(1)
    positive, group = draw.random(200) < 0.5, np.arange(200)
    a = draw.normal(size=(4, 200)) + positive * np.array([[0.2], [0.8], [1.6], [3.0]])
    (up, down), groups = statistics.placements_of_runs(a, positive), (group[positive], group[~positive])
    found = statistics.contrast(up - (up - 0.1), down - (down - 0.1), *groups)
    assert (found.difference, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert statistics.contrast(up, down, *groups).of_seeds[0] > 0.001
