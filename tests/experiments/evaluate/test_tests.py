"""Which modality a fusion is held against, and what a sentence may claim."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_comparison import comparison

from experiments.evaluate import statistics, tests
from experiments.evaluate.scores import Scores, statistic
from experiments.results.records import NAN, Comparison, Figure, Pair, Row, SplitSize
from experiments.words import comparison as words
from experiments.words import comparison_tables as shown_as


def on_dev(**auc) -> list[Row]:
    return [Row(name, "head", "dev", 5, 0.5, {"auc_roc": Figure(value)}, {}) for name, value in auc.items()]


def pair(difference=0.02, low=-0.01, high=0.05, p=0.2) -> Pair:
    return Pair("test", "early", "text", "auc_roc", 0.8 + difference, 0.8, low, high, p, p)


def head(name: str, signal: float, runs: int = 3) -> Scores:
    label = (np.arange(200) % 2).astype(np.int64)
    logit = np.random.default_rng(len(name)).normal(size=(runs, 200)) + signal * (label - 0.5)
    half = torch.full((runs,), 0.5, dtype=torch.float64)
    return Scores(name, "head", "test", torch.tensor(logit), label, half, 2 * half)


def concluded(*pairs: Pair) -> list[Pair]:
    return [replace(each, conclusion=tests.conclude(each)) for each in pairs]


def test_the_better_single_modality_is_dev_s():
    assert tests.better_single(on_dev(text=0.7, image=0.8, early=0.9)) == "image"
    assert tests.better_single(on_dev(text=0.7, early=0.9)) == "text"
    assert tests.better_single(on_dev(early=0.9, late=0.8)) is None


def test_pairs_agree_with_the_tests_they_name():
    scores = {each.name: each for each in (head("text", 0.5), head("early", 2.5))}
    group = np.arange(200) // 2
    draws = statistics.bootstrap(group, {name: statistic(each) for name, each in scores.items()}, draws=300)
    auc, accuracy = tests.fusion_pairs("text", scores, group, draws)
    logits = {name: each.logit.numpy() for name, each in scores.items()}
    test = statistics.delong(logits["early"], logits["text"], scores["text"].positive, group)
    assert (auc.measure, auc.difference, auc.p) == ("auc_roc", pytest.approx(test.difference), test.p)
    assert auc.low < auc.difference < auc.high
    assert (auc.low, auc.high) == (test.low, test.high)
    # Memes resampled with seeds held fixed vary less than memes and seeds do; the t quantile of three seeds
    # adds up to 4.3 / 1.96.
    resampled = statistics.interval(draws["early"]["auc_roc"] - draws["text"]["auc_roc"])
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
    draws = statistics.bootstrap(group, {name: statistic(each) for name, each in scores.items()}, draws=50)
    _, accuracy = tests.fusion_pairs("text", scores, group, draws)
    assert (accuracy.difference, accuracy.only_head, accuracy.only_against) == (0.5, 100, 0)
    half, whole = (statistics.wilson(share, 100) for share in (0.5, 1.0))
    assert accuracy.low == pytest.approx(0.5 - np.hypot(1 - whole[0], half[1] - 0.5))
    assert accuracy.high == pytest.approx(0.5 + 0.5 - half[0])
    assert np.isnan(accuracy.detectable)


def test_a_missing_fusion_is_no_pair():
    scores = {each.name: each for each in (head("text", 0.5), head("late", 0.6))}
    draws = statistics.bootstrap(np.arange(200), {name: statistic(each) for name, each in scores.items()}, draws=20)
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
    test = statistics.delong(
        *(scores[name].logit.numpy() for name in ("text", "image")), scores["text"].positive, group
    )
    assert (others[-1].difference, others[-1].p) == (pytest.approx(test.difference), test.p)
    assert others[-1].detectable > 0
    assert len(tests.other_pairs(None, {name: scores[name] for name in ("early", "late")}, group)) == 1


def test_a_pair_is_found_from_either_side():
    made = replace(pair(0.04, 0.01, 0.07, 0.01), conclusion="unconfirmed gain", only_head=3, detectable=0.02)
    found = comparison(pairs=[], other_pairs=[made])
    assert found.pair("early", "text", "test") == made
    turned = found.pair("text", "early", "test")
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-0.04, -0.07, -0.01))
    assert (turned.conclusion, turned.only_head, turned.only_against) == ("unconfirmed loss", 0, 3)
    assert turned.turned == made
    assert found.pair("early", "text", "test", "accuracy") is found.pair("early", "late", "test") is None


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
        return [
            statistics.delong(*drawn(np.random.default_rng(number), gain), label, group) for number in range(repeats)
        ]

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


def test_that_no_difference_can_be_shown_is_said_wherever_one_would_be():
    one = replace(pair(), undetectable=True, memes_needed=32.0, conclusion="none")
    other = replace(pair(), head="late", detectable=0.912, conclusion="none")
    start = "Early against text: these memes of test show no difference of AUC-ROC four times in five (power 80%, one "
    assert words.power(one) == f"{start}test at .05); the .020 seen here takes 32 memes."
    assert words.powers([one, other]) == [
        "Early and late against text: these memes of test show differences of AUC-ROC of .912 four times in five "
        "(power 80%, one test at .05); of early none; those seen here take 32 memes; for late more memes alone would "
        "not do."
    ]
    found = comparison(pairs=[one, other])
    assert Comparison.from_json(found.to_json()).pairs[0].undetectable
    shown = shown_as.pairs_table(found.pairs, "")
    assert [row[shown.header.index("shown at 80%")] for row in shown.rows] == ["none", ".912"]


def test_many_fusions_share_a_sentence_on_what_these_memes_would_show():
    found = [
        replace(pair(), head=head, detectable=shown, memes_needed=memes, conclusion=conclusion)
        for head, shown, memes, conclusion in (
            ("early", 0.052, NAN, "none"), ("late", 0.041, 330.1, "unconfirmed gain"), ("mean", 0.041, 323.2, "none"),
            ("linear", 0.02, 50.0, "gain"),
        )
    ]  # fmt: skip
    assert words.powers(found) == [
        "Early, late and mean against text: these memes of test show differences of AUC-ROC of .041 to .052 four times "
        "in five (power 80%, one test at .05); those seen here take 324 to 331 memes; for early more memes alone would "
        "not do."
    ]
    assert words.powers(found[1:2]) == [words.power(found[1])]
    assert words.powers(found[3:]) == []
    assert sum("four times" in said for said in words.summary(comparison(pairs=found))) == 1


def test_a_head_stands_against_the_regression_that_dev_prefers_of_those_that_see_what_it_sees():
    found = (head("text", 0.5), head("late", 0.6), head("LR text", 0.4), head("LR both", 2.5), head("LR balanced", 0.5))
    scores = {each.name: each for each in found}
    dev = on_dev(**{"text": 0.7, "late": 0.9, "LR text": 0.95, "LR both": 0.6, "LR balanced": 0.8})
    text, late = tests.linear_pairs(dev, scores, np.arange(200))
    assert [(each.head, each.against) for each in (text, late)] == [("text", "LR text"), ("late", "LR balanced")]
    one, other = (scores[name] for name in ("late", "LR balanced"))
    test = statistics.delong(one.logit.numpy(), other.logit.numpy(), one.positive, np.arange(200))
    assert (late.measure, late.difference, late.p) == ("auc_roc", pytest.approx(test.difference), test.p)
    assert tests.linear_pairs(dev[:2], scores, np.arange(200)) == []


def test_heads_and_regressions_in_one_sentence():
    found = concluded(
        Pair("test", "text", "LR text", "auc_roc", 0.81, 0.80, -0.02, 0.04, 0.5, 0.5),
        Pair("test", "image", "LR image", "auc_roc", 0.79, 0.80, -0.04, 0.02, 0.5, 0.5),
        Pair("test", "early", "LR both", "auc_roc", 0.90, 0.80, 0.06, 0.14, 0.001, 0.003),
    )
    assert words.against_linear(found) == [
        "Heads vs logistic regression on the same vectors: test AUC-ROC text +.010, image -.010, early +.100: "
        "no evidence of a gain for text, image; a gain for early."
    ]
    assert words.against_linear(found[:2])[0].endswith("text +.010, image -.010: no evidence of a gain.")
    assert words.against_linear([]) == []


def test_correction_is_over_all_that_the_table_shows():
    found = [pair(p=0.01), pair(p=0.03), Pair("test", "early", "text", "accuracy", 0.8, 0.7, 0.0, 0.0, 0.04, 0.04)]
    assert [each.p_holm for each in tests.corrected(found)] == pytest.approx([0.03, 0.06, 0.06])
    assert tests.corrected([]) == []


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (pair(), "no evidence of a gain"),
        (pair(-0.02, -0.05, 0.01), "no evidence of a gain"),
        (pair(0.04, 0.01, 0.07, 0.01), "a gain"),
        (pair(-0.04, -0.07, -0.01, 0.01), "a loss"),
        (pair(0.04, 0.01, 0.07, 0.06), "no firm evidence of a gain"),
        (pair(-0.04, -0.07, 0.001, 0.04), "no firm evidence of a loss"),
        (pair(p=NAN), "too few memes to tell"),
    ],
)
def test_conclusion(made, says):
    assert words.conclusion(*concluded(made)) == says


@given(st.floats(-1, 1), st.floats(-1, 0.2), st.floats(0, 1), st.floats(0.05, 1))
def test_nothing_is_claimed_above_the_level(difference, low, width, p):
    assert tests.conclude(pair(difference, low, low + width, p)) not in ("gain", "loss")


def test_verdict_is_one_sentence():
    assert words.fusion_sentence(*concluded(pair(p=0.11))) == (
        "early vs text (the better single modality on dev): test AUC-ROC .820 vs .800, +.020 [-.010, +.050], "
        "p = .110 (Holm): no evidence of a gain."
    )
    assert "p < .001 (Holm): a gain." in words.fusion_sentence(*concluded(pair(0.04, 0.01, 0.07, 1e-9)))


def test_precision_says_how_little_a_small_split_shows():
    rows = [
        Row(name, "head", "test", 5, 0.5, {"auc_roc": Figure(mean, 0.01, mean - 0.05, mean + 0.03)}, {})
        for name, mean in (("text", 0.7), ("early", 0.8))
    ]
    size = SplitSize("test", 500, 358, 120, 355, "", 350)
    assert words.precision(size, rows) == (
        "With 358 memes (350 groups that share no text or image) in test, an AUC-ROC of .800 is good to ±.040."
    )
    lost = [Row("text", "head", "test", 5, 0.5, {"auc_roc": Figure(0.7)}, {})]
    few = replace(size, labelled=51, positive=1)
    assert words.precision(few, lost) == (
        "With 1 meme of label 1 and 50 of label 0, test tells no two heads apart, and its AUC-ROCs have no intervals: "
        "that takes 10 of either that share no text or image."
    )
