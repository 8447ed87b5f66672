"""A comparison is named after all that it holds, and judged where there are both labels; which rows its table has."""

from dataclasses import replace

import numpy as np
import planted
import pytest

from experiments.data import load
from experiments.evaluate import comparison
from experiments.evaluate.scores import Scores
from experiments.results.records import NOT_IN_TRAIN
from experiments.training import heads, runs

SIZES = {"train": 60, "dev": 40, "test": 40}
SMALL = {"hidden": 4, "batch_size": 32, "max_epochs": 2, "min_steps": 4}
QUICK = {"text": SMALL, "early": SMALL}


def trained(data, seeds=2):
    return heads(data, runs(list(QUICK), seeds, QUICK), "cpu", "none", quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return load(planted.features(tmp_path_factory.mktemp("comparison"), SIZES))


def test_its_name_is_of_all_that_it_holds_but_the_folder(data, tmp_path):
    there = load(planted.features(tmp_path, SIZES, shuffle=1))
    found, again = (comparison.evaluate(each, trained(each), 2, "none") for each in (data, there))
    assert found.features != again.features
    assert replace(again, features=found.features).to_json() == found.to_json()
    assert len({found.run, comparison.evaluate(data, trained(data, 1), 1, "none").run}) == 2


@pytest.mark.parametrize(("label", "judged"), [({}, "test"), ({"test": 0}, "dev"), ({"test": -1}, "dev")])
def test_fusions_are_judged_where_there_are_both_labels(tmp_path, label, judged):
    data = load(planted.features(tmp_path, SIZES, label=label))
    found = comparison.evaluate(data, trained(data), 2, "none")
    assert found.judged == [judged]
    assert {pair.split for pair in found.pairs} == {judged}
    flatters = "No test split has both labels: fusions are judged on dev, which flatters, for it chose the epochs."
    assert (flatters in found.notes) == (judged == "dev")
    scored = ["dev", "test"] if label != {"test": -1} else ["dev"]
    assert {row.split for row in found.rows} == {name + rest for name in scored for rest in ("", NOT_IN_TRAIN)}


def test_means_of_runs_follow_the_heads_and_references_come_last(data):
    of_heads = trained(data)
    reference = replace(of_heads[0], name="LR text", kind="reference")
    every = [reference, *of_heads]
    scores = {each.name: Scores.of(each, "dev", data.dev.pairs.label) for each in every}
    rows, draws = comparison.rows_of(comparison.with_means(every, scores, data.dev), data.dev)
    means = [f"{each.name}, mean of 2 runs" for each in of_heads]
    assert [row.name for row in rows] == [*QUICK, *means, "LR text", "chance"]
    assert list(draws) == [*QUICK, *means, "LR text"]
    single = trained(data, 1)
    scores = {each.name: Scores.of(each, "dev", data.dev.pairs.label) for each in single}
    rows, _ = comparison.rows_of(comparison.with_means(single, scores, data.dev), data.dev)
    assert [row.name for row in rows] == list(
        QUICK
    )  # one run is its own mean, and there is no chance without references


def test_sizes_count_what_train_holds(data):
    train, dev, test = comparison.sizes(data)
    assert (train.memes, train.texts, train.in_train) == (60, 45, {})  # every fourth text is the one before it
    assert [each.in_train for each in (dev, test)] == [{"id": 0, "text": 0, "image": 4, "any": 4}] * 2
    assert dev.positive == int((data.dev.pairs.label == 1).sum())
    some = comparison.size(data.dev.only(np.arange(39)))
    assert (some.memes, some.digest == dev.digest) == (39, False)
