"""What is said of a sweep's ranking, and where its choice is used."""

import math
from dataclasses import replace

import pytest
from made_trials import trial

from experiments.results.records import SplitSize
from experiments.search import ranking
from experiments.search.ranking import Choice
from experiments.words import sweep as words
from extract.store import EncoderIdentity


def test_scores_of_several_versions_of_the_code_are_said_to_be():
    trials = [trial("text", 0.5), trial("text", 0.6, seed=1, code="v2"), trial("image", 0.7)]
    read = "\n".join(words.sweep_reading(ranking.rank(trials), trials, 0, [], ""))
    assert "Runs of 2 versions of memefuse (v1, v2) are ranked together" in read
    same = "\n".join(words.sweep_reading(ranking.rank(trials[:1]), trials[:1], 0, [], ""))
    assert "versions" not in same


@pytest.mark.parametrize(
    ("elsewhere", "says"),
    [
        (0.9, ["text on a (.900) beats text on b (.800)", ", and is not beaten by any fusion (.850): a fusion's gain"]),
        (0.82, ["text on a (.820) beats text on b (.800)", "on the chosen encoders: a fusion's gain"]),
        (0.8, []),
        (math.nan, []),
    ],
)
def test_a_single_modality_that_the_choice_leaves_behind_is_named(elsewhere, says):
    trials = [
        trial("text", elsewhere, text="a", image=""),
        trial("text", 0.8, text="b", image=""),
        trial("image", 0.6, text="", image="i"),
        trial("early", 0.85, text="b"),
    ]
    ranked = ranking.rank(trials)
    notes = words.left_behind(ranked, ranking.choose(ranked)[1])
    assert len(notes) == bool(says)
    assert all(part in notes[0] for part in says)
    reading = words.sweep_reading(ranked, trials, 0, notes, "")
    page = words.sweep_markdown(ranked, trials, reading)
    assert [line for line in page.splitlines() if line in notes] == notes


def cautions(choice: Choice, text: str, heads: list[str], splits=()) -> list[str]:
    names = {"text": text, "image": "resnet"}
    encoders = {side: EncoderIdentity(side, name, 4, "", {}, {}) for side, name in names.items()}
    return words.choice_cautions(choice, encoders, heads, splits)


def test_a_sweep_s_notes_hold_on_its_own_encoders_only():
    choice = Choice("bert", "resnet", {"text": {"hidden": 8}, "early": {"hidden": 8}}, ["mind this"])
    assert cautions(choice, "bert", ["text", "early"]) == ["mind this", "Tuned by the sweep: text, early."]
    assert cautions(choice, "another", ["text", "early"]) == ["Tuned by the sweep: text, early."]


def test_heads_that_were_not_tuned_are_named_beside_those_that_were():
    choice = Choice(None, None, {"early": {"hidden": 64}}, [])
    assert cautions(choice, "bert", ["text", "image", "early"]) == [
        "Tuned by the sweep: early; with the shipped settings: text, image. A difference between one of the former and "
        "one of the latter may be the tuning's."
    ]
    assert cautions(choice, "bert", ["early"]) == ["Tuned by the sweep: early."]
    assert cautions(choice, "bert", ["text"]) == ["Tuned by the sweep: none of these heads."]
    assert cautions(Choice(), "bert", ["text", "early"]) == []


def test_a_sweep_on_other_memes_is_called_so():
    train = SplitSize("train", 4, 4, 2, 4, "digest", 4, sides={"text": "train", "image": "train"})
    dev = replace(train, name="dev", sides={"text": "dev", "image": "dev"})
    choice = Choice(heads={"text": {}}, splits=[train, dev])
    assert cautions(choice, "bert", ["text"], [train, replace(dev, sides={"text": "dev"})]) == [
        "Tuned by the sweep: text."
    ]
    other = replace(dev, sides={"text": "other", "image": "dev"})
    assert cautions(choice, "bert", ["text"], [train, other]) == [
        "The sweep was made on other memes, in dev: its choice may not be best here.",
        "Tuned by the sweep: text.",
    ]
    assert cautions(Choice(heads={"text": {}}), "bert", ["text"], [train, other]) == ["Tuned by the sweep: text."]
