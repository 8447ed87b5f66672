"""Intervals near 0 and 1 and of differences, against statsmodels and a published example."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from experiments.evaluate import intervals


@pytest.mark.parametrize("memes", [1, 10, 150])
def test_a_figure_that_never_varies_is_not_certain(memes):
    low, high = intervals.score_interval(1.0, 0.0, memes)
    assert high == 1.0
    assert low == pytest.approx(memes / (memes + 1.96**2), abs=1e-3)
    assert intervals.score_interval(0.5, 0.25 / 400, 10_000) == pytest.approx((0.451, 0.549), abs=1e-3)


@given(st.integers(1, 500), st.data())
def test_wilson_is_statsmodels(count, data):
    hits = data.draw(st.integers(0, count))
    expected = proportion_confint(hits, count, method="wilson")
    assert intervals.wilson(hits / count, count) == pytest.approx(expected, abs=1e-12)
    # the variance of a share is worth as many memes as there are
    share = hits / count
    assert intervals.score_interval(share, share * (1 - share) / count, count) == pytest.approx(expected, abs=1e-9)


def test_intervals_join_as_newcombe_has_it():
    """Newcombe 1998, table II, method 10: 56 of 70 less 48 of 80."""
    one, other = ((hits / count, *intervals.wilson(hits / count, count)) for hits, count in ((56, 70), (48, 80)))
    assert intervals.joined(one, other) == pytest.approx((0.0524, 0.3339), abs=5e-5)
