"""Groups of memes against a search; resamples of them, whose intervals hold the truth as often as they say."""

import time

import numpy as np
import pytest
from drawn_scores import draw_memes
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from experiments.evaluate import delong, resampling
from experiments.evaluate import scores as of_scores


def areas(scores, positive):
    """The bootstrap's statistic, as the table uses it."""
    rankings = [of_scores.ranking(score, positive) for score in np.atleast_2d(scores)]
    return lambda weight: {"auc_roc": np.mean([of_scores.weighted_areas(rank, weight)[0] for rank in rankings], axis=0)}


def test_memes_that_share_anything_move_together():
    text, image = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])
    assert resampling.connected(text, image).tolist() == [0, 0, 0, 1, 2]
    assert resampling.connected(text).tolist() == [0, 0, 1, 2, 3]
    assert resampling.connected(np.empty(0, int), np.empty(0, int)).tolist() == []


@given(st.data())
def test_connected_components_are_those_of_a_search(data):
    count = data.draw(st.integers(1, 12))
    text, image = (np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))) for _ in range(2))
    found = resampling.connected(text, image)
    reached = (text[:, None] == text) | (image[:, None] == image)
    for _ in range(count):
        reached = reached @ reached
    np.testing.assert_array_equal(found[:, None] == found, reached)


def test_draws_that_wait_are_dropped_when_one_is_stopped():
    done = []

    def stopped(weight):
        raise KeyboardInterrupt

    def slow(weight):
        time.sleep(0.05)
        done.append(weight)
        return {"mean": weight.mean(axis=0)}

    with pytest.raises(KeyboardInterrupt):
        resampling.bootstrap(np.arange(50), {"first": stopped} | {str(number): slow for number in range(40)}, threads=1)
    assert len(done) < 20


def test_groups_join_equal_texts_but_not_empty_ones():
    key = np.array([b"b", b"a", b"b", b"", b""])
    group = resampling.groups(key, key == b"")
    assert group[0] == group[2]
    assert sorted(np.bincount(group)) == [1, 1, 1, 2]


def test_resamples_move_groups_whole_and_draw_as_many_groups_as_there_are():
    group = np.array([0, 1, 0, 2, 3, 3, 3])
    weight = np.concatenate(list(resampling.resamples(group, 50, seed=0)), axis=1)
    assert weight.shape == (7, 50)
    np.testing.assert_array_equal(weight[0], weight[2])
    np.testing.assert_array_equal(weight[4], weight[6])
    np.testing.assert_array_equal(weight[[0, 1, 3, 4]].sum(axis=0), 4)
    assert len(np.unique(weight, axis=1).T) > 10


def test_resamples_do_not_depend_on_how_many_are_held(monkeypatch):
    group = np.arange(10)
    whole = np.concatenate(list(resampling.resamples(group, 30, seed=3)), axis=1)
    monkeypatch.setattr(resampling, "CHUNK", 40)
    monkeypatch.setattr(resampling, "NARROWEST", 1)
    parts = list(resampling.resamples(group, 30, seed=3))
    assert [part.shape[1] for part in parts] == [4] * 7 + [2]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_bootstrap_uses_the_same_memes_for_all_heads():
    score, positive, group = draw_memes(np.random.default_rng(0), 60, 1.0)
    draws = resampling.bootstrap(group, {"a": areas(score, positive), "b": areas(2 * score + 1, positive)}, draws=50)
    np.testing.assert_array_equal(draws["a"]["auc_roc"], draws["b"]["auc_roc"])
    assert draws["a"]["auc_roc"].std() > 0.01


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_bootstrap_is_the_same_whatever_the_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(resampling, "CHUNK", 400)
    score, positive, group = draw_memes(np.random.default_rng(0), 90, 1.0)
    gap = np.random.default_rng(1).random(90).astype(np.float32)  # no whole numbers: an order of summation would show
    heads = {name: areas(scores, positive) for name, scores in (("a", score), ("b", -score))}
    heads = {name: lambda weight, area=area: area(weight) | {"gap": gap @ weight} for name, area in heads.items()}
    expected = [{name: each(weight) for name, each in heads.items()} for weight in resampling.resamples(group, 200, 0)]
    found = resampling.bootstrap(group, heads, draws=200, threads=threads)
    for name in heads:
        for metric in ("auc_roc", "gap"):
            whole = np.concatenate([part[name][metric] for part in expected])
            np.testing.assert_array_equal(found[name][metric], whole)


def test_a_fault_in_one_thread_ends_the_bootstrap():
    def broken(weight):
        raise ValueError("no such head")

    with pytest.raises(ValueError, match="no such head"):
        resampling.bootstrap(np.arange(9), {"a": broken})


def test_interval_is_undefined_when_many_draws_are():
    draws = np.linspace(0, 1, 101)
    np.testing.assert_allclose(resampling.interval(draws), (0.025, 0.975))
    draws[:10] = np.nan
    assert np.isnan(resampling.interval(draws)).all()


def covered(simulations: int, draws: int, memes: int, **family) -> tuple[float, float, float]:
    """How often the true AUC-ROC lies in the bootstrap's interval by groups, with every meme alone, and in DeLong's."""
    apart, truth = 1.0, float(ndtr(1.0 / np.sqrt(2)))  # of two normals of unit variance
    hits = np.zeros(3)
    for simulation in range(simulations):
        score, positive, group = draw_memes(np.random.default_rng(simulation), memes, apart, **family)
        for kind, moving in enumerate((group, np.arange(memes))):
            found = resampling.bootstrap(moving, {"head": areas(score, positive)}, draws=draws, seed=simulation)
            low, high = resampling.interval(found["head"]["auc_roc"])
            hits[kind] += low <= truth <= high
        error = 1.96 * delong.auc_error(score[None], positive, group)
        hits[2] += abs(delong.placements(score, positive)[0].mean() - truth) <= error
    return tuple(hits / simulations)


def test_interval_covers_as_often_as_it_says():
    by_group, alone, by_delong = covered(300, 300, memes=240)
    assert by_group == alone
    # three standard errors of 300 tosses of .95 are .038
    assert 0.91 <= by_group <= 0.988
    assert 0.91 <= by_delong <= 0.988


@pytest.mark.slow
def test_interval_covers_as_often_as_it_says_with_siblings():
    by_group, alone, by_delong = covered(1000, 500, memes=600, siblings=4, shared=0.9)
    # three standard errors of 1,000 tosses of .95 are .021; a little more, for both rest on large numbers of families
    assert 0.92 <= by_group <= 0.972
    assert 0.92 <= by_delong <= 0.972
    assert alone < 0.8  # what forgetting the families costs
