"""Operating points: chosen on dev as a plain search does; what cannot be meant is said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evaluate import operating_points as points
from experiments.evaluate.operating_points import Goal, Judged, Stakes

NONE = Stakes()


def drawn(seed: int, size: int = 60, grain: int = 20) -> Judged:
    """Scores with ties, both labels, pairs of memes that belong together."""
    draw = np.random.default_rng(seed)
    positive = np.r_[True, False, draw.random(size - 2) < 0.4]
    score = np.clip(0.3 * positive + draw.random(size) * 0.7, 0, 1)
    return Judged(np.round(score * grain) / grain, positive, np.arange(size) // 2)


def recall(judged: Judged, cut: float) -> float:
    return float((judged.probability >= cut)[judged.positive].mean())


def precision(judged: Judged, cut: float) -> float:
    said = judged.probability >= cut
    return float(judged.positive[said].mean()) if said.any() else 0.0


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.8, 0.95]))
def test_a_threshold_is_what_a_plain_search_finds(seed, target):
    dev = drawn(seed)
    tried = np.linspace(0.0125, 1.0125, 41)  # between the scores
    recalls = [recall(dev, cut) for cut in tried]
    low, high = points.choose(Goal("recall", target), dev, 0.5, NONE)
    assert low == high
    reached = max(cut for cut, each in zip(tried, recalls, strict=True) if each >= target - 1e-12)
    np.testing.assert_array_equal(dev.probability >= high, dev.probability >= reached)
    chosen = points.choose(Goal("precision", target), dev, 0.5, NONE)
    able = [each for each, cut in zip(recalls, tried, strict=True) if precision(dev, cut) >= target - 1e-12]
    assert (chosen is None) == (not able)
    if chosen:
        assert precision(dev, chosen[1]) >= target - 1e-12
        assert recall(dev, chosen[1]) == pytest.approx(max(able))


@given(st.integers(0, 10_000), st.floats(0.2, 20), st.sampled_from([np.nan, 0.03, 0.7]))
def test_the_cheapest_threshold_is_the_cheapest(seed, miss, prevalence):
    dev = drawn(seed)

    def cost(cut):
        weight = dev.weight(prevalence)
        said = dev.probability >= cut
        return (weight * (miss * (dev.positive & ~said) + (~dev.positive & said))).sum()

    cut = points.choose(Goal("cost"), dev, 0.5, Stakes(miss, 1.0, prevalence))[1]
    assert cost(cut) == pytest.approx(min(map(cost, np.linspace(0.0125, 1.0125, 41))))


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.25, 0.5]))
def test_who_is_reviewed_lies_nearest_to_the_threshold(seed, share):
    dev = drawn(seed)
    low, high = points.choose(Goal("review", share), dev, 0.4, NONE)
    seen = (dev.probability >= low) & (dev.probability < high)
    assert seen.mean() <= share + 1e-12
    distance = abs(points.log_odds(dev.probability) - points.log_odds(0.4))
    assert not seen.any() or distance[seen].max() < distance[~seen].min()
    reviewed, error, _ = points.risk(dev, 0.4)
    wrong = (dev.probability >= 0.4) != dev.positive
    assert (reviewed[0], error[0]) == pytest.approx((0, wrong.mean()))
    place = np.flatnonzero(reviewed <= share + 1e-12)[-1]
    assert error[place] == pytest.approx(wrong[~seen].mean())


def test_a_prevalence_weighs_the_labels():
    dev = drawn(0)
    [told] = points.measure(dev, [(Goal("recall", 0.8), (0.5, 0.5))], Stakes(2.0, 1.0, 0.1))
    said = dev.probability >= 0.5
    found, alarms = said[dev.positive].mean(), said[~dev.positive].mean()
    assert told["precision"].mean == pytest.approx(0.1 * found / (0.1 * found + 0.9 * alarms))
    assert told["cost"].mean == pytest.approx(0.1 * 2 * (1 - found) + 0.9 * alarms)
    assert told["error"].mean == pytest.approx(0.1 * (1 - found) + 0.9 * alarms)
    for name, figure in told.items():
        assert figure.low <= figure.mean + 1e-12, name  # rounding
        assert figure.high >= figure.mean, name


def test_intervals_count_groups_not_memes():
    """Each meme ten times over is worth no more than itself."""
    one = drawn(3, 80)
    ten = Judged(*(np.repeat(part, 10) for part in (one.probability, one.positive, one.group)))
    chosen = [(Goal("recall", 0.8), (0.5, 0.5))]
    [alone], [copied] = (points.measure(each, chosen, NONE) for each in (one, ten))
    assert (copied["recall"].low, copied["recall"].high) == pytest.approx((alone["recall"].low, alone["recall"].high))


def test_one_label_leaves_undefined_what_needs_the_other():
    none = replace(drawn(1), positive=np.zeros(60, bool))
    [told] = points.measure(none, [(Goal("recall", 0.8), (0.5, 0.5))], Stakes(1.0, 1.0, 0.2))
    assert np.isnan([told[name].mean for name in ("recall", "precision", "cost")]).all()
    assert np.isfinite(told["false_alarms"].mean)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("recall", "none of recall=R"),
        ("cost=3", "none of recall=R"),
        ("recall=1.5", "1.5 is not between 0 and 1"),
        ("precision=nan", "nan is not between 0 and 1"),
        ("review=much", "much is not between 0 and 1"),
    ],
)
def test_a_goal_that_cannot_be_meant(word, reason):
    with pytest.raises(ValueError, match=reason):
        Goal.parse(word)
    assert Goal.parse("error=.05").name == "error=0.05"
