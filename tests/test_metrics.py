"""Scores agree with scikit-learn and SciPy, row by row of the run axis, ties included."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import minimize_scalar
from sklearn import metrics as theirs

from heads import metrics

EXACT = {"abs": 1e-12, "nan_ok": True}  # both sides are float64 sums of few terms
FEW = settings(max_examples=60, deadline=None)


@st.composite
def scored(draw, classes=None):
    """Logits [run, n] with many ties, and labels; `classes` 2 means that both occur."""
    runs, count = draw(st.integers(1, 3)), draw(st.integers(2, 25))
    coarse = arrays.arrays(np.int64, (runs, count), elements=st.integers(-4, 4))
    logit = draw(coarse).astype(np.float32) / draw(st.sampled_from([1, 2, 7]))
    label = draw(arrays.arrays(np.int64, count, elements=st.integers(0, 1)))
    if classes == 2:
        label[:2] = 0, 1
    return torch.from_numpy(logit), torch.from_numpy(label)


def expected(label, probability, called):
    """scikit-learn's word on one run; nan where it has none."""
    f1 = theirs.f1_score(label, called, average=None, labels=[0, 1], zero_division=np.nan)
    both = 0 < label.sum() < len(label)
    return {
        "accuracy": theirs.accuracy_score(label, called),
        "precision": theirs.precision_score(label, called, zero_division=np.nan),
        "recall": theirs.recall_score(label, called, zero_division=np.nan),
        "f1": f1[1],
        "macro_f1": (f1[0] + f1[1]) / 2,
        "auc_roc": theirs.roc_auc_score(label, probability) if both else math.nan,
        "average_precision": theirs.average_precision_score(label, probability) if label.any() else math.nan,
        "brier": np.mean((probability - label) ** 2)
        if not both
        else theirs.brier_score_loss(label, probability, pos_label=1),
        "ece": slow_ece(label, probability),
    }


def slow_ece(label, probability, bins=15):
    gap = 0.0
    for number in range(bins):
        held = [row for row, each in enumerate(probability) if min(int(each * bins), bins - 1) == number]
        if held:
            gap += len(held) / len(label) * abs(np.mean(probability[held]) - np.mean(label[held]))
    return gap


@given(scored())
@FEW
def test_every_metric_is_scikit_learns(rows):
    logit, label = rows
    ours = metrics.evaluate(logit, label)
    assert tuple(sorted(ours)) == tuple(sorted(metrics.METRICS))
    for run, row in enumerate(logit.double().numpy()):
        probability = 1 / (1 + np.exp(-row))
        want = expected(label.numpy(), probability, (probability >= 0.5).astype(int))
        assert {name: each[run].item() for name, each in ours.items()} == {
            name: pytest.approx(value, **EXACT) for name, value in want.items()
        }


@given(scored(), st.sampled_from([0.1, 0.4, 0.7]))
@FEW
def test_a_threshold_per_run(rows, first):
    logit, label = rows
    limits = first + torch.arange(len(logit)).double() / 10
    ours = metrics.evaluate(logit, label, limits)
    for run, limit in enumerate(limits.tolist()):
        alone = metrics.evaluate(logit[run : run + 1], label, limit)
        assert {name: each[run].item() for name, each in ours.items()} == {
            name: pytest.approx(each.item(), **EXACT) for name, each in alone.items()
        }


@given(scored(), st.randoms(use_true_random=False))
@FEW
def test_the_order_of_memes_changes_nothing(rows, random):
    logit, label = rows
    order = random.sample(range(len(label)), len(label))
    shuffled = metrics.evaluate(logit[:, order], label[order])
    for name, value in metrics.evaluate(logit, label).items():
        assert shuffled[name].tolist() == pytest.approx(value.tolist(), **EXACT)


@pytest.mark.parametrize(
    ("logits", "labels", "undefined"),
    [
        ([1.0, 2.0, -1.0], [1, 1, 1], {"auc_roc"}),
        ([1.0, 2.0, -1.0], [0, 0, 0], {"auc_roc", "average_precision", "recall"}),
        ([-1.0, -2.0, -3.0], [0, 1, 0], {"precision"}),
        ([-1.0, -2.0, -3.0], [0, 0, 0], {"auc_roc", "average_precision", "recall", "precision", "f1", "macro_f1"}),
        ([1.0, 2.0, 3.0], [1, 1, 1], {"auc_roc", "macro_f1"}),
    ],
)
def test_what_is_undefined_is_nan(logits, labels, undefined):
    scores = metrics.evaluate(torch.tensor([logits]), torch.tensor(labels))
    assert {name for name, value in scores.items() if value.isnan().any()} == undefined


def test_ties_count_one_half():
    label = torch.tensor([1, 0, 1, 0])
    assert metrics.auc_roc(torch.zeros(1, 4), label).tolist() == [0.5]
    assert metrics.auc_roc(torch.tensor([[2, 2, 3, 1]]), label).tolist() == [0.875]
    assert metrics.average_precision(torch.tensor([[2, 2, 3, 1]]), label).item() == pytest.approx((1 + 2 / 3) / 2)


def test_a_calibrated_coin_has_no_calibration_error():
    label = torch.tensor([0, 1] * 10)
    sure = torch.cat([torch.full((1, 20), 0.5), torch.ones(1, 20)])
    assert metrics.expected_calibration_error(sure, label).tolist() == [0.0, 0.5]
    assert metrics.brier(sure, label).tolist() == [0.25, 0.5]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "no rows to score"),
        ([0, 1, -1, -1], "2 of 4 labels are neither 0 nor 1 (-1 stands for no label)"),
        ([2, 1, 0], "1 of 3 labels are neither 0 nor 1 (-1 stands for no label)"),
    ],
)
@pytest.mark.parametrize("asked", [metrics.evaluate, metrics.best_threshold, metrics.fit_temperature])
def test_labels_that_cannot_be_scored_are_refused(asked, labels, words):
    with pytest.raises(ValueError, match=r".*") as caught:
        asked(torch.zeros(1, len(labels)), torch.tensor(labels, dtype=torch.long))
    assert str(caught.value) == words


@given(scored())
@settings(max_examples=20, deadline=None)
def test_the_best_threshold_is_that_of_a_search_by_hand(rows):
    logit, label = rows
    for run, threshold in enumerate(metrics.best_threshold(logit, label).tolist()):
        probability = torch.sigmoid(logit[run].double()).numpy()
        ordered = np.sort(probability)
        tried = [0.5, *((ordered[1:] + ordered[:-1]) / 2)]

        def macro(limit, probability=probability):
            return theirs.f1_score(label, probability >= limit, average="macro", labels=[0, 1], zero_division=0)

        best = max(map(macro, tried))
        assert macro(threshold) == pytest.approx(best)
        nearest = min(abs(limit - 0.5) for limit in tried if macro(limit) > best - 1e-12)
        assert abs(threshold - 0.5) == pytest.approx(nearest)


def test_a_dev_split_of_one_class_is_called_that_class():
    threshold = metrics.best_threshold(torch.tensor([[0.0, 1.0]]), torch.tensor([1, 1]))
    assert threshold.tolist() == [0.5]  # the meme at one half is hateful too


def test_a_threshold_is_tuned_to_the_calibrated_probability():
    logit, label = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([0, 0, 1, 1])
    temperature = torch.tensor([5.0], dtype=torch.float64)
    threshold = metrics.best_threshold(logit, label, temperature)
    assert torch.sigmoid(torch.tensor(2 / 5)) < threshold < torch.sigmoid(torch.tensor(3 / 5))
    assert metrics.evaluate(logit, label, threshold, temperature)["accuracy"].tolist() == [1.0]
    assert metrics.evaluate(logit, label)["accuracy"].tolist() == [0.5]


@pytest.mark.parametrize("seed", range(4))
def test_the_temperature_is_scipys(seed):
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, 200)
    logit = (2 * label - 1 + draw.normal(size=(2, 200)) * 2) * np.array([[5.0], [0.2]])
    for ours, row in zip(metrics.fit_temperature(torch.from_numpy(logit), torch.from_numpy(label)), logit, strict=True):

        def log_loss(log_temperature, row=row):
            margin = row * (1 - 2 * label) / math.exp(log_temperature)
            return np.logaddexp(0, margin).mean()

        want = minimize_scalar(log_loss, bounds=(-6, 6), method="bounded", options={"xatol": 1e-10}).x
        assert math.log(ours) == pytest.approx(want, abs=1e-4)  # a minimum is flat: SciPy sees the loss, not its slope


def test_a_temperature_without_end_stops_at_the_bounds():
    label = torch.tensor([0, 0, 1, 1])
    ranked = torch.tensor([[-2.0, -1.0, 1.0, 2.0]])
    assert metrics.fit_temperature(torch.cat([ranked, -ranked]), label).tolist() == pytest.approx([1e-3, 1e3])


@given(scored(classes=2), st.floats(0.05, 20))
@FEW
def test_a_temperature_ranks_nothing_anew(rows, degrees):
    logit, label = rows
    temperature = torch.full((len(logit),), degrees, dtype=torch.float64)
    plain, cooled = metrics.evaluate(logit, label), metrics.evaluate(logit, label, temperature=temperature)
    for name in ("auc_roc", "average_precision", "accuracy", "f1"):
        assert cooled[name].tolist() == pytest.approx(plain[name].tolist(), **EXACT)
