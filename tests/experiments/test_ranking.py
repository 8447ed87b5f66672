"""A sweep's choice is read as it was meant, or refused with every fault."""

import json

import pytest

from experiments.search import choice as chosen
from extract.errors import Refused


def written(tmp_path, value) -> object:
    path = tmp_path / "choice.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_encoders_and_settings_are_read(tmp_path):
    value = {"text_encoder": "bert", "image_encoder": None, "heads": {"early": {"hidden": 64, "dropout": 0.1}}}
    found = {"early": {"hidden": 64, "dropout": 0.1}}
    assert chosen.read(written(tmp_path, value)) == chosen.Choice("bert", None, found, [])
    assert chosen.read(written(tmp_path, value | {"notes": ["so"]})) == chosen.Choice("bert", None, found, ["so"])
    assert chosen.read(written(tmp_path, {})) == chosen.NOTHING


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
        ("{", "is not what a sweep writes: Expecting property name"),
    ],
)
def test_faults_are_named(tmp_path, value, fault):
    with pytest.raises(Refused) as refused:
        chosen.read(written(tmp_path, value))
    assert fault in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Refused, match=r"none.json cannot be read: No such file"):
        chosen.read(tmp_path / "none.json")


def test_a_sweep_s_notes_hold_on_its_own_encoders_only():
    choice = chosen.Choice("bert", "resnet", {"text": {}, "early": {}}, ["mind this"])
    assert choice.cautions("bert", "resnet", ["text", "early"]) == ["mind this"]
    assert choice.cautions("another", "resnet", ["text", "early"]) == []


def test_heads_that_were_not_tuned_are_named_beside_those_that_were():
    choice = chosen.Choice(None, None, {"early": {"hidden": 64}}, [])
    assert choice.cautions("bert", "resnet", ["text", "image", "early"]) == [
        "Tuned by the sweep: early; with the shipped settings: text, image. A difference between one of the former and "
        "one of the latter may be the tuning's."
    ]
    assert choice.cautions("bert", "resnet", ["text"]) == choice.cautions("bert", "resnet", ["early"]) == []
    assert chosen.NOTHING.cautions("bert", "resnet", ["text", "early"]) == []
