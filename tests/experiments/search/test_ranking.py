"""A sweep's choice is read as it was meant, or refused with every fault."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from made_trials import trial

from experiments.results.records import SplitSize
from experiments.search import ranking
from experiments.search.ranking import Choice, read_choice
from extract.errors import Refused

COMPARED = {"encoders": {}, "splits": [], "rows": [], "judged": [], "linear": [], "notes": [], "files": {}, "run": ""}


def written(tmp_path, value) -> object:
    path = tmp_path / "choice.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_encoders_and_settings_are_read(tmp_path):
    value = {"text_encoder": "bert", "image_encoder": None, "heads": {"early": {"hidden": 64, "dropout": 0.1}}}
    found = {"early": {"hidden": 64, "dropout": 0.1}}
    assert read_choice(written(tmp_path, value)) == Choice("bert", None, found, [])
    assert read_choice(written(tmp_path, value | {"notes": ["so"]})) == Choice("bert", None, found, ["so"])
    assert read_choice(written(tmp_path, {"text_encoder": "bert"})) == Choice("bert")
    size = SplitSize("train", 4, 4, 2, 4, "a digest", 4, sides={"text": "another"})
    assert read_choice(written(tmp_path, value | {"splits": [asdict(size)]})).splits == [size]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (
            {"heads": {"earlier": {}, "text": {"width": 3, "seed": 1, "hidden": "many"}}},
            "  unknown head earlier\n  text: unknown setting width\n  text: unknown setting seed\n"
            "  text: hidden must be int, not 'many'",
        ),
        ({"heads": {"text": {"hidden": 0}}}, "hidden must be at least 1, not 0"),
        ({"heads": {"text": {"dropout": 1}}}, "dropout must be at least 0 and below 1, not 1"),
        ({"heads": [1]}, "is not what a sweep writes"),
        ([], "is not what a sweep writes"),
        ({}, "is not what a sweep writes: it names no encoder and no head. Name the sweep.json that a sweep wrote"),
        (
            COMPARED,
            "is not what a sweep writes: it has encoders, files, judged, linear, rows and 1 more. Name the sweep",
        ),
        ({"heads": {"text": {}}, "splits": [1]}, "is not what a sweep writes"),
        ("{", "is not what a sweep writes: Expecting property name"),
    ],
)
def test_faults_are_named(tmp_path, value, fault):
    with pytest.raises(Refused) as refused:
        read_choice(written(tmp_path, value))
    assert fault in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Refused, match=r"none.json cannot be read: No such file"):
        read_choice(tmp_path / "none.json")


def test_the_pair_is_that_of_the_best_fusion_and_single_heads_follow_it():
    trials = [
        trial("text", 0.9, text="a", image="", hidden=1),
        trial("text", 0.7, text="b", image="", hidden=1),
        trial("text", 0.8, text="b", image="", hidden=2),
        trial("early", 0.75, text="a", hidden=1),
        trial("early", 0.85, text="b", hidden=2),
    ]
    choice, on_pair = ranking.choose(ranking.rank(trials))
    assert choice == ranking.Choice("b", "i", {"early": {"hidden": 2}, "text": {"hidden": 2}})
    assert {candidate.encoders for candidate in on_pair} == {("b",), ("b", "i")}
    alone, _ = ranking.choose(ranking.rank(trials[:3]))
    assert alone == ranking.Choice("a", None, {"text": {"hidden": 1}})


def test_undefined_scores_rank_last():
    ranked = ranking.rank([trial("text", float("nan"), hidden=1), trial("text", 0.4, hidden=2)])
    assert [each.settings["hidden"] for each in ranked] == [2, 1]


def test_the_standard_error_is_that_of_exponential_scores():
    # at chance the variance is that of Mann and Whitney's U, whatever the scores
    assert ranking.auc_error(0.5, 30, 70) == pytest.approx(math.sqrt(101 / (12 * 30 * 70)))
    draw = np.random.default_rng(0)
    positive, negative = draw.exponential(4.0, (4000, 30)), draw.exponential(1.0, (4000, 20))
    auc = (positive[:, :, None] > negative[:, None]).mean(axis=(1, 2))  # 4 / (4 + 1) on average
    assert ranking.auc_error(0.8, 30, 20) == pytest.approx(auc.std(), rel=0.05)
