"""Metrics of many runs against scikit-learn, one run at a time, ties and undefined cases included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn import metrics as sklearn

from heads import metrics

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # both count in float64


@st.composite
def scored(draw, classes=2):
    """[run, n] logits with many ties, and [n] labels that hold so many classes."""
    count = draw(st.integers(2, 40))
    runs = draw(st.integers(1, 4))
    values = st.lists(st.integers(-4, 4), min_size=count, max_size=count)
    logit = torch.tensor(draw(st.lists(values, min_size=runs, max_size=runs)), dtype=torch.float32) / 2
    label = torch.tensor(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    label[0], label[-1] = 0, classes - 1
    return logit, label


def by_sklearn(logit, label, threshold):
    probability = expit(logit.astype(np.float64))
    called = (probability >= threshold).astype(int)
    undefined = {"zero_division": np.nan}
    return {
        "accuracy": sklearn.accuracy_score(label, called),
        "precision": sklearn.precision_score(label, called, **undefined),
        "recall": sklearn.recall_score(label, called, **undefined),
        "f1": sklearn.f1_score(label, called, **undefined),
        "macro_f1": sklearn.f1_score(label, called, average="macro", **undefined),
        "auc_roc": sklearn.roc_auc_score(label, logit),
        "average_precision": sklearn.average_precision_score(label, logit),
        "brier": sklearn.brier_score_loss(label, probability),
    }


@settings(deadline=None, max_examples=50)
@given(scored(), st.sampled_from([0.3, 0.5, 0.9]))
def test_every_metric_is_scikit_learns(rows, threshold):
    logit, label = rows
    ours = metrics.evaluate(logit, label, threshold)
    for run in range(len(logit)):
        for name, expected in by_sklearn(logit[run].numpy(), label.numpy(), threshold).items():
            np.testing.assert_allclose(ours[name][run], expected, **EXACT, err_msg=name)


@settings(deadline=None)
@given(scored())
def test_order_of_memes_changes_nothing(rows):
    logit, label = rows
    shuffled = torch.randperm(len(label), generator=torch.Generator().manual_seed(0))
    there, here = metrics.evaluate(logit[:, shuffled], label[shuffled]), metrics.evaluate(logit, label)
    assert list(here) == list(metrics.METRICS)
    for name in metrics.METRICS:
        torch.testing.assert_close(there[name], here[name], **EXACT, equal_nan=True)


def test_each_run_may_have_its_own_threshold():
    logit, label = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]), torch.tensor([0, 1])
    assert metrics.evaluate(logit, label, torch.tensor([0.1, 0.5]))["accuracy"].tolist() == [0.5, 1.0]


def test_one_class_leaves_ranking_undefined():
    found = metrics.evaluate(torch.tensor([[-1.0, 1.0]]), torch.tensor([0, 0]))
    assert found["accuracy"].item() == 0.5
    assert [name for name in metrics.METRICS if found[name].isnan()] == ["auc_roc", "average_precision", "recall"]
    found = metrics.evaluate(torch.tensor([[-1.0, 1.0]]), torch.tensor([1, 1]))
    assert [name for name in metrics.METRICS if found[name].isnan()] == ["auc_roc"]


def test_precision_is_undefined_where_no_meme_is_called_hateful():
    found = metrics.evaluate(torch.tensor([[-1.0, -2.0]]), torch.tensor([0, 1]))
    assert found["precision"].isnan()
    assert found["recall"].item() == found["f1"].item() == 0


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 1, -1, 2], r"2 of 4 labels are neither 0 nor 1 \(-1 stands for no label\)"),
        ([], "no rows to score"),
    ],
)
def test_wrong_labels_are_refused(label, message):
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(torch.zeros(1, len(label)), torch.tensor(label, dtype=torch.int64))


def test_calibration_error_by_hand():
    # two bins of .5: the lower holds .1 and .3 (one hateful), the upper .9 (hateful)
    probability, label = torch.tensor([[0.1, 0.3, 0.9]]), torch.tensor([0, 1, 1])
    expected = 2 / 3 * abs(0.2 - 0.5) + 1 / 3 * abs(0.9 - 1)
    assert metrics.expected_calibration_error(probability, label, bins=2).item() == pytest.approx(expected)


def test_a_probability_of_one_falls_into_the_last_bin():
    assert metrics.expected_calibration_error(torch.tensor([[1.0, 0.0]]), torch.tensor([1, 0])).item() == 0


@settings(deadline=None)
@given(scored())
def test_best_threshold_is_the_best_of_all(rows):
    logit, label = rows
    chosen = metrics.best_threshold(logit, label)
    reached = metrics.evaluate(logit, label, chosen)["macro_f1"]
    probability = metrics.probabilities(logit)
    for run in range(len(logit)):
        others = torch.cat([torch.tensor([0.5]), probability[run]])
        same_logits = logit[run].expand(len(others), -1)
        assert (reached[run] >= metrics.evaluate(same_logits, label, others)["macro_f1"] - 1e-9).all()


def test_a_head_that_knows_nothing_keeps_one_half():
    assert metrics.best_threshold(torch.zeros(1, 4), torch.tensor([0, 1, 1, 1])).item() == 0.5


@settings(deadline=None)
@given(scored())
def test_temperature_has_the_lowest_log_loss(rows):
    logit, label = rows
    found = metrics.fit_temperature(logit, label)

    def loss(log_temperature, run):
        surety = (2 * label - 1).numpy() * logit[run].double().numpy() / np.exp(log_temperature)
        return np.logaddexp(0, -surety).mean()

    for run in range(len(logit)):
        best = minimize_scalar(loss, bounds=(-np.log(1000), np.log(1000)), method="bounded", args=(run,)).fun
        assert loss(found[run].log().item(), run) <= best + 1e-6


def test_temperature_is_found_where_it_is_known():
    # labels drawn from logits / 3
    generator = torch.Generator().manual_seed(0)
    logit = 4 * torch.randn(1, 20_000, generator=generator)
    label = (torch.rand(1, 20_000, generator=generator) < torch.sigmoid(logit / 3)).long()[0]
    # 20,000 draws leave about 2% (one standard error) of doubt
    assert metrics.fit_temperature(logit, label).item() == pytest.approx(3, rel=0.08)


def test_a_run_whose_scores_are_no_numbers_has_no_metric_and_the_others_keep_theirs():
    label = torch.tensor([0, 1, 1, 0])
    score = torch.tensor([[-1.0, 2.0, 0.5, 0.7], [torch.nan] * 4, [0.0, torch.nan, 1.0, 2.0]])
    found = metrics.evaluate(score, label)
    alone = metrics.evaluate(score[:1], label)
    for name in metrics.METRICS:
        assert found[name][0] == alone[name][0]
        assert found[name][1:].isnan().all(), name
