"""The reference rows against scikit-learn and against what the planted signal must give."""

import numpy as np
import planted
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from experiments import data as loading
from experiments import references as baselines


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> loading.Data:
    return loading.load(planted.features(tmp_path_factory.mktemp("features")))


@pytest.fixture(scope="module")
def found(data) -> dict[str, baselines.Reference]:
    return {each.name: each for each in baselines.references(data)}


def both(split: loading.Split) -> np.ndarray:
    return np.hstack([split.pairs.text_vec, split.pairs.image_vec])


def auc(reference: baselines.Reference, split: loading.Split) -> float:
    return roc_auc_score(split.pairs.label, reference.logit[split.name][0])


def test_every_reference_scores_dev_and_test(found, data):
    assert list(found) == ["majority class", "LR text", "LR image", "LR both", "LR balanced", "kNN both"]
    for each in found.values():
        assert {split: tuple(logit.shape) for split, logit in each.logit.items()} == {"dev": (1, 120), "test": (1, 120)}
        assert all(torch.isfinite(logit).all() for logit in each.logit.values())


def test_both_sides_beat_one_where_each_tells_a_part(found, data):
    test = data.tests[0]
    assert auc(found["LR both"], test) > max(auc(found["LR text"], test), auc(found["LR image"], test)) + 0.03
    assert auc(found["kNN both"], test) > 0.75


def test_majority_class_says_trains_share(found, data):
    share = float(found["majority class"].logit["test"].sigmoid().unique())
    assert share == pytest.approx(data.train.pairs.label.mean())


def test_regression_is_scikit_learns_at_the_strength_that_dev_likes(found, data):
    scale = StandardScaler().fit(both(data.train))
    train, dev, test = (scale.transform(both(split)) for split in (data.train, data.dev, data.tests[0]))
    models = {C: LogisticRegression(C=C, max_iter=5000).fit(train, data.train.pairs.label) for C in baselines.STRENGTHS}
    dev_auc = {C: roc_auc_score(data.dev.pairs.label, model.decision_function(dev)) for C, model in models.items()}
    chosen = found["LR both"].settings["C"]
    assert dev_auc[chosen] == pytest.approx(max(dev_auc.values()), abs=2e-3)
    expected = models[chosen].decision_function(test)
    # both stop at a gradient of 1e-4; a C ten times off differs by far more
    np.testing.assert_allclose(found["LR both"].logit["test"][0], expected, atol=0.02)


def test_regression_takes_the_best_of_all_c_beyond_any_lesser_peak(monkeypatch):
    tried = []
    heard = {1e-5: 0.6, 1e-4: 0.7, 1e-3: 0.65, 1e-2: 0.71, 1e-1: 0.7, 1.0: 0.69, 10.0: 0.72, 100.0: 0.72}

    def fit(self, vectors, label):
        tried.append(self.C)
        return self

    monkeypatch.setattr(LogisticRegression, "fit", fit)
    monkeypatch.setattr(LogisticRegression, "decision_function", lambda self, vectors: np.full(len(vectors), self.C))
    monkeypatch.setattr(baselines, "dev_auc", lambda score, label: heard[float(score[0])])
    vectors = {split: np.zeros((4, 1), np.float32) for split in ("train", "dev", "test")}
    label = np.array([0, 1, 0, 1])
    chosen = baselines.logistic_regression("LR", vectors, label, label, "dev")
    assert tried == list(baselines.STRENGTHS)
    assert chosen.settings == {"C": 10.0}  # the stronger regularisation of two that are level
    assert chosen.logit["test"].unique().tolist() == [10.0]


def test_neighbours_are_scikit_learns_by_cosine(found, data):
    k = found["kNN both"].settings["k"]
    scale = StandardScaler().fit(both(data.train))
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    model.fit(scale.transform(both(data.train)), data.train.pairs.label)
    share = model.predict_proba(scale.transform(both(data.tests[0])))[:, 1]
    np.testing.assert_allclose(found["kNN both"].logit["test"][0].sigmoid(), (share * k + 1) / (k + 2), atol=1e-6)


def test_few_train_memes_are_all_neighbours():
    vectors = {split: np.eye(3, dtype=np.float32) for split in ("train", "dev", "test")}
    label = np.array([0, 1, 1])
    assert baselines.nearest_neighbours("kNN", vectors, label, label, "dev").settings == {"k": 3}
