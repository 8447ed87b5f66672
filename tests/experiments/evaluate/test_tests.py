"""Which modality a fusion is held against, and what a sentence may claim."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_comparison import pair
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from experiments.evaluate import delong, intervals, resampling, tests
from experiments.evaluate.scores import Scores, statistic
from experiments.results.records import Figure, Pair, Row


def on_dev(**auc) -> list[Row]:
    return [Row(name, "head", "dev", 5, 0.5, {"auc_roc": Figure(value)}, {}) for name, value in auc.items()]


def head(name: str, signal: float, runs: int = 3) -> Scores:
    label = (np.arange(200) % 2).astype(np.int64)
    logit = np.random.default_rng(len(name)).normal(size=(runs, 200)) + signal * (label - 0.5)
    half = torch.full((runs,), 0.5, dtype=torch.float64)
    return Scores(name, "head", "test", torch.tensor(logit), label, half, 2 * half)


def test_the_better_single_modality_is_dev_s():
    assert tests.better_single(on_dev(text=0.7, image=0.8, early=0.9)) == "image"
    assert tests.better_single(on_dev(text=0.7, early=0.9)) == "text"
    assert tests.better_single(on_dev(early=0.9, late=0.8)) is None


def test_pairs_agree_with_the_tests_they_name():
    scores = {each.name: each for each in (head("text", 0.5), head("early", 2.5))}
    group = np.arange(200) // 2
    draws = resampling.bootstrap(group, {name: statistic(each) for name, each in scores.items()}, draws=300)
    auc, accuracy = tests.fusion_pairs("text", scores, group, draws)
    logits = {name: each.logit.numpy() for name, each in scores.items()}
    test = delong.delong(logits["early"], logits["text"], scores["text"].positive, group)
    assert (auc.measure, auc.difference, auc.p) == ("auc_roc", pytest.approx(test.difference), test.p)
    assert auc.low < auc.difference < auc.high
    assert (auc.low, auc.high) == (test.low, test.high)
    # Memes resampled with seeds held fixed vary less than memes and seeds do; the t quantile of three seeds
    # adds up to 4.3 / 1.96.
    resampled = resampling.interval(draws["early"]["auc_roc"] - draws["text"]["auc_roc"])
    assert 1 < (auc.high - auc.low) / (resampled[1] - resampled[0]) < 3
    right = {name: each.right for name, each in scores.items()}
    assert (accuracy.of_head, accuracy.of_against) == (right["early"].mean(), right["text"].mean())
    assert accuracy.only_head - accuracy.only_against == pytest.approx(200 * accuracy.difference)
    assert {each.conclusion for each in tests.corrected([auc, accuracy])} == {"gain"}


def test_an_accuracy_that_no_resample_changes_is_not_certain():
    """In every group of two one head is right once, and the other twice."""
    right, group = head("early", 2.5, runs=1), np.arange(200) // 2
    early = replace(right, logit=torch.tensor(np.where(right.positive, 1.0, -1.0)[None]))
    text = replace(right, name="text", logit=torch.ones(1, 200, dtype=torch.float64))
    scores = {each.name: each for each in (early, text)}
    draws = resampling.bootstrap(group, {name: statistic(each) for name, each in scores.items()}, draws=50)
    _, accuracy = tests.fusion_pairs("text", scores, group, draws)
    assert (accuracy.difference, accuracy.only_head, accuracy.only_against) == (0.5, 100, 0)
    half, whole = (intervals.wilson(share, 100) for share in (0.5, 1.0))
    assert accuracy.low == pytest.approx(0.5 - np.hypot(1 - whole[0], half[1] - 0.5))
    assert accuracy.high == pytest.approx(0.5 + 0.5 - half[0])
    assert np.isnan(accuracy.detectable)


def test_a_missing_fusion_is_no_pair():
    scores = {each.name: each for each in (head("text", 0.5), head("late", 0.6))}
    draws = resampling.bootstrap(np.arange(200), {name: statistic(each) for name, each in scores.items()}, draws=20)
    assert [each.head for each in tests.fusion_pairs("text", scores, np.arange(200), draws)] == ["late", "late"]


def test_every_two_heads_are_tested_once():
    """Those that a main verdict is about are in the main table, all others beside it, fusions first."""
    scores = {
        each.name: each for each in (head("text", 0.5), head("image", 0.2), head("late", 0.6), head("early", 2.5))
    }
    group = np.arange(200)
    others = tests.other_pairs("text", scores, group)
    assert [(each.head, each.against) for each in others] == [
        ("early", "late"),
        ("early", "image"),
        ("late", "image"),
        ("text", "image"),
    ]
    test = delong.delong(*(scores[name].logit.numpy() for name in ("text", "image")), scores["text"].positive, group)
    assert (others[-1].difference, others[-1].p) == (pytest.approx(test.difference), test.p)
    assert others[-1].detectable > 0
    assert len(tests.other_pairs(None, {name: scores[name] for name in ("early", "late")}, group)) == 1


@pytest.mark.parametrize("seeds", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_four_in_five_simulated_tests_show_the_difference_that_is_called_detectable(seeds):
    """Paired scores of memes in groups of two; one head is better by what one of its tests called detectable."""
    label = np.repeat(np.arange(150) % 2, 2) == 1
    group = np.arange(300) // 2

    def drawn(generator, gain):
        """Two heads' scores that share luck of groups and of memes, and a way of its own for each seed."""
        common = np.repeat(generator.normal(size=150), 2) * 0.5 + generator.normal(size=300) * 0.7
        ways = generator.normal(size=(300, 8))
        signals = (1.0, 1.0 + gain)
        return [
            signal * label
            + common
            + 0.5 * generator.normal(size=300)
            + 0.15 * generator.normal(size=(seeds, 8)) @ ways.T
            for signal in signals
        ]

    def simulated(gain, repeats):
        return [delong.delong(*drawn(np.random.default_rng(number), gain), label, group) for number in range(repeats)]

    def shown(test):
        return tests.power(test.difference, test.of_memes, 300, test.of_seeds, test.freedom)

    detectable = np.median([shown(test)[0] for test in simulated(0.3, 60)])
    gains = np.linspace(0.1, 0.6, 6)
    differences = [np.mean([test.difference for test in simulated(gain, 60)]) for gain in gains]
    found = simulated(np.interp(-detectable, differences[::-1], gains[::-1]), 400)
    # three standard errors of 400 tosses of .8 are .06
    assert 0.72 <= np.mean([test.p < 0.05 for test in found]) <= 0.88
    # at the difference that is just detectable, as many memes as there are
    needed = [shown(replace(test, difference=detectable))[1] for test in found]
    assert np.nanmedian(needed) == pytest.approx(300, rel=0.15)


def test_what_more_memes_can_and_cannot_show():
    detectable, memes = tests.power(0.01, 0.02**2, 500)
    assert detectable == pytest.approx(2.8016 * 0.02, rel=1e-4)  # 1.96 + .8416
    assert memes == pytest.approx(500 * (detectable / 0.01) ** 2)
    assert np.isnan(tests.power(0.01, 0.02**2, 500, of_seeds=(0.02**2, 0.0), freedom=(4, 4))[1])
    assert np.isnan(tests.power(0.0, 0.02**2, 500)[1])
    assert np.isnan(tests.power(0.5, 0.0, 500)).all()
    # a perfect head against a constant: what varies is rounding
    assert tests.power(0.5, 1e-34, 500, of_seeds=(1e-33, 0.0), freedom=(4, 4)) == (pytest.approx(0.0, abs=1e-9), 1.0)


def test_no_difference_is_called_detectable_that_is_above_one():
    """Two seeds that are far apart leave one degree of freedom: what they would show is no difference of AUC-ROCs."""
    one, other = head("early", 2.5, runs=2), head("text", 0.5, runs=2)
    far = replace(one, logit=torch.stack([one.logit[0], -one.logit[0]]))
    [near, none] = (tests.by_auc_roc(each, other, np.arange(200)) for each in (one, far))
    assert (near.undetectable, none.undetectable) == (False, True)
    assert 0 < near.detectable < 1
    assert np.isnan(none.detectable)
    assert near.has_power
    assert none.has_power
    assert not pair().has_power


def test_a_head_stands_against_the_regression_that_dev_prefers_of_those_that_see_what_it_sees():
    found = (head("text", 0.5), head("late", 0.6), head("LR text", 0.4), head("LR both", 2.5), head("LR balanced", 0.5))
    scores = {each.name: each for each in found}
    dev = on_dev(**{"text": 0.7, "late": 0.9, "LR text": 0.95, "LR both": 0.6, "LR balanced": 0.8})
    text, late = tests.linear_pairs(dev, scores, np.arange(200))
    assert [(each.head, each.against) for each in (text, late)] == [("text", "LR text"), ("late", "LR balanced")]
    one, other = (scores[name] for name in ("late", "LR balanced"))
    test = delong.delong(one.logit.numpy(), other.logit.numpy(), one.positive, np.arange(200))
    assert (late.measure, late.difference, late.p) == ("auc_roc", pytest.approx(test.difference), test.p)
    assert tests.linear_pairs(dev[:2], scores, np.arange(200)) == []


def test_correction_is_over_all_that_the_table_shows():
    found = [pair(p=0.01), pair(p=0.03), Pair("test", "early", "text", "accuracy", 0.8, 0.7, 0.0, 0.0, 0.04, 0.04)]
    assert [each.p_holm for each in tests.corrected(found)] == pytest.approx([0.03, 0.06, 0.06])
    assert tests.corrected([]) == []


@given(st.floats(-1, 1), st.floats(-1, 0.2), st.floats(0, 1), st.floats(0.05, 1))
def test_nothing_is_claimed_above_the_level(difference, low, width, p):
    assert tests.conclude(pair(difference, low, low + width, p)) not in ("gain", "loss")


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_statsmodels_and_scipys(only_a, only_b):
    right_a = np.r_[np.ones(only_a, bool), np.zeros(only_b, bool), np.ones(7, bool), np.zeros(4, bool)]
    right_b = np.r_[np.zeros(only_a, bool), np.ones(only_b, bool), np.ones(7, bool), np.zeros(4, bool)]
    found = tests.mcnemar(right_a, right_b, np.arange(len(right_a)))
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
    assert tests.mcnemar(right_a, right_b, group).p == pytest.approx(as_large)


def test_a_gain_on_one_meme_seen_twenty_times_is_no_gain():
    right_a, right_b = np.ones(20, bool), np.zeros(20, bool)
    assert tests.mcnemar(right_a, right_b, np.arange(20)).p < 1e-5
    assert tests.mcnemar(right_a, right_b, np.zeros(20, int)).p == 1.0


@given(arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
@settings(max_examples=20)  # statsmodels takes 40 ms each
@pytest.mark.slow
def test_holm_is_statsmodels(p):
    np.testing.assert_allclose(tests.holm(p), multipletests(p, method="holm")[1])


def test_holm_leaves_undefined_tests_out():
    np.testing.assert_allclose(tests.holm(np.array([0.01, np.nan, 0.04])), [0.02, np.nan, 0.04])
