"""A sweep's choice is read as it was meant, or refused with every fault."""

import json
from dataclasses import asdict, replace

import pytest

from experiments.results.records import SplitSize
from experiments.search.ranking import Choice, read_choice
from experiments.words import sweep as words
from extract.errors import Refused
from extract.store import EncoderIdentity

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
