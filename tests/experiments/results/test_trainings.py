"""What a training came to is kept whole, in its order, and trained again where anything that decides it is another."""

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from experiments import training
from experiments.data import load
from experiments.results import trainings
from experiments.results.trainings import Trainings
from experiments.training import Trained

SMALL = {"hidden": 4, "batch_size": 32, "max_epochs": 2, "min_steps": 4}
QUICK = dict.fromkeys(("text", "image", "early"), SMALL)


def made(name, kind="head", runs=2) -> Trained:
    logit = {"test": torch.tensor([[1.5, np.inf]] * runs), "dev": torch.zeros(runs, 0)}
    one = torch.full((runs,), 0.1, dtype=torch.float64)
    settings = [{"hidden": 4, "seed": seed} for seed in range(runs)]
    return Trained(name, kind, settings, list(range(runs)), logit, one, one + 1, 1.5, None, 0.25)


def test_what_is_kept_comes_back_in_its_order(tmp_path):
    assert trainings.kept(tmp_path, "one") is None
    every = [made("z"), made("a", "reference", 1)]
    trainings.keep(tmp_path, "one", every)
    found = trainings.kept(tmp_path, "one")
    for one, other in zip(found, every, strict=True):
        assert [getattr(one, name) for name in trainings.PLAIN] == [getattr(other, name) for name in trainings.PLAIN]
        for tensors in ("logit", "threshold", "temperature"):
            torch.testing.assert_close(getattr(one, tensors), getattr(other, tensors), rtol=0, atol=0)
    assert (found[0].diverged, found[1].diverged) == ([0], [])  # a reference has no epochs


@pytest.mark.parametrize("left", [0, 7, 100, -1])
def test_a_cut_file_counts_for_nothing(tmp_path, left):
    trainings.keep(tmp_path, "one", [made("a")])
    path = tmp_path / trainings.FOLDER / "one.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    assert trainings.kept(tmp_path, "one") is None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(planted.features(tmp_path_factory.mktemp("features"), {"train": 40, "dev": 20, "test": 20}))


@pytest.fixture
def trained(monkeypatch):
    """Names of what was trained, in order."""
    names, heads, references = [], training.heads, training.references
    monkeypatch.setattr(
        training, "heads", lambda data, its, *rest, **how: names.extend(its) or heads(data, its, *rest, **how)
    )
    monkeypatch.setattr(
        training, "references", lambda *rest, **how: names.append("references") or references(*rest, **how)
    )
    return names


def test_what_is_held_is_not_trained_again_and_nobody_s_is_forgotten(tmp_path, data, trained):
    two = training.runs(["text", "early"], 2, QUICK)
    first = Trainings(tmp_path, "cpu").of(data, two, references=True)
    assert trained == ["text", "early", "references"]
    assert list(first)[:2] == ["text", "early"]
    assert {"majority class", "LR both", "kNN both"} < set(first)
    assert all(each.fitted is None for each in first.values())
    kept = Trainings(tmp_path, "cpu")
    again = kept.of(data, training.runs(["text", "image"], 2, QUICK), references=True)
    assert trained[3:] == ["image"]
    assert str(again["text"]) == str(first["text"])
    kept.forget_others()
    assert len(list((tmp_path / trainings.FOLDER).iterdir())) == 3
    Trainings(tmp_path, "cpu").of(data, two)
    assert trained[4:] == ["early"]


def test_a_name_is_of_all_that_decides(data, tmp_path):
    def key(head="text", sides=("text",), its=data, device="cpu", **settings):
        [run] = training.runs([head], 1, {head: settings})[head]
        kept = Trainings(tmp_path, device)
        return kept.key(head, sides, its, trainings.digest(its.splits), [trainings.asdict(run)])

    other = replace(data, text=replace(data.text, fingerprint="0" * 64))
    fewer = replace(data, train=data.train.only(np.arange(20)))
    names = [key(), key("image"), key(its=fewer), key(its=other), key(device="cuda"), key(hidden=5)]
    assert len(set(names)) == len(names)
    assert key() == names[0]
    assert key("image", ("image",), other) == key("image", ("image",))  # it does not look at texts
