"""A run's record and its scores: kept, read again as they were, missed in words, of a version before too."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from systems_command import split_of, tiny

from experiments.data import Split
from experiments.evaluate import resampling, tests
from experiments.evaluate.scores import Scores, statistic
from experiments.results.records import Figure, Row
from experiments.systems import results, tables
from experiments.systems.__main__ import main
from experiments.training import Trained
from extract.errors import Failed
from extract.files import write_text

pytest_plugins = ["systems_folder"]


def planted(rng: np.random.Generator, noise: dict[str, float]) -> tuple[list[Trained], Split]:
    """Heads that see the label through so much noise, on memes of which some have no label and two share a text."""
    label = rng.integers(0, 2, 300)
    text = np.array([f"{row // 2:064d}" for row in range(300)], dtype="S64")
    known = np.where(np.arange(300) < 280, label, -1)
    image = np.array([f"{row:064d}" for row in range(300)], dtype="S64")
    split = split_of(np.array([f"{row:03d}" for row in range(300)]), known, text, image)
    trained = []
    for name, size in noise.items():
        logit = torch.from_numpy((label * 2 - 1 + rng.normal(size=(2, 300), scale=size)).astype(np.float32))
        ones = torch.ones(2).double()
        trained.append(Trained(name, "system", [{}, {}], [1, 1], {"test": logit}, ones / 2, ones, 1.0, None))
    return trained, split


def test_kept_scores_are_tested_as_those_in_memory_are(tmp_path):
    trained, split = planted(np.random.default_rng(0), {"good": 1.0, "bad": 3.0})
    results.write_scores(tmp_path, trained, [split])
    kept, group = results.read_scores(tmp_path, "test")
    good, bad = (Scores.of(each, "test", split.pairs.label) for each in trained)
    assert len(group) == 280
    draws = resampling.bootstrap(group, {each.name: statistic(each) for each in (good, bad)})
    wanted = [tests.by_auc_roc(good, bad, group), tests.by_accuracy(good, bad, group, draws)]
    assert tables.both_measures(kept["good"], kept["bad"], group) == wanted
    assert tests.corrected(wanted)[0].conclusion == "gain"
    by_auc_roc, _ = tests.corrected(tables.both_measures(kept["bad"], kept["good"], group))
    loss = r"-\.\d{3} \[-\.\d{3}, -\.\d{3}\], Holm's p <\.001: a loss\."
    assert re.fullmatch(rf"bad vs good, test AUC-ROC: {loss}", tables.sentence(by_auc_roc))


def test_scores_that_were_removed_are_missed_in_words(tmp_path):
    with pytest.raises(Failed, match=r"has lost its scores\.safetensors: remove the folder and run the system again"):
        results.read_scores(tmp_path, "test")


def test_a_record_of_another_version_is_passed_over(tmp_path, capsys):
    write_text(tmp_path / "systems" / "lab" / "published-00000000" / "result.json", "{}")
    assert results.all_results(tmp_path) == []
    assert "another version wrote it" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_record_of_the_version_before_is_read(copy):
    """It had the parts of an encoder's identity side by side, and no versions of libraries."""
    main(["distilbert-resnet50-mlp", *tiny(copy, "--seeds", "1", "--steps", "1")])
    [new] = [each for each in results.all_results(copy / "reports") if not each.is_own]
    path = results.folder_of(copy / "reports", new) / "result.json"
    about = written = json.loads(path.read_text())
    for kind in ("text", "image"):
        identity = about[kind].pop("identity")
        about[kind] |= {"slug": identity["name"]} | {key: identity[key] for key in ("dim", "fingerprint", "settings")}
    before = path.parent.parent / "before" / "result.json"
    write_text(before, json.dumps(written))
    read = results.read_result(before.parent)
    versions = {kind: replace(getattr(new, kind).identity, versions={}) for kind in ("text", "image")}
    assert read == replace(
        new, **{kind: replace(getattr(new, kind), identity=identity) for kind, identity in versions.items()}
    )


def test_a_head_that_diverged_is_not_the_best():
    rows = [
        Row(name, "head", split, 1, 0.5, {"auc_roc": Figure(area)}, {})
        for split, name, area in (
            ("dev", "late", float("nan")), ("dev", "text", 0.6), ("dev", "early", 0.7), ("test", "text", 0.9),
        )
    ]  # fmt: skip
    result = SimpleNamespace(memes={"dev": 4, "test": 4}, rows=rows)
    assert results.Result.best_head(result) == "early"
    assert results.Result.best_head(result, ["late", "text"]) == "text"
