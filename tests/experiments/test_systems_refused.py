"""What a system is refused, before any work, and how: encoders, libraries, draws that do not fit."""

import importlib.util
import re

import pytest
from systems_command import tiny

from experiments.systems.__main__ import main
from extract.errors import Refused

pytest_plugins = ["systems_folder"]
pytestmark = pytest.mark.usefixtures("quick")

MLP = "distilbert-resnet50-mlp"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["lab", "--steps", "5"], "lab's heads train until dev is best: --steps is for the other systems"),
        (["lab", "--image-encoder", "resnet50-keras:grid"], "lab reads one vector an image, and resnet50-keras:grid"),
        (["lab", "--text-encoder", "fasttext", "--image-encoder", "fasttext"], "unknown image encoder 'fasttext'"),
        (
            ["multimodal-transformer", "--text-encoder", "fasttext", "--train", "none"],
            "multimodal-transformer reads words with its text encoder, and fastText gives vectors of whole texts",
        ),
        (
            [MLP, "--text-encoder", "fasttext", "--train", "text"],
            f"{MLP} trains its text encoder, and fastText gives vectors of whole texts: name another --text-encoder",
        ),
        (
            ["bert-resnet18-linear", "--settings", "batch-size,balanced-sgd", "--predict", "a.png", "words"],
            "--predict asks the run of one setting, and --settings is batch-size,balanced-sgd: name one",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_any_work(command, why, folder, tmp_path):
    where = ["--data", str(folder / "data"), "--features", str(tmp_path / "features"), "--out", str(tmp_path / "out")]
    with pytest.raises(Refused, match=re.escape(why)):
        main([*command, *where])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "library"), [("fasttext-resnet152-concat", "gensim"), (MLP, "accelerate")])
def test_a_library_that_is_missing_is_named_before_any_work(name, library, folder, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == library else found(name, *more)
    )
    with pytest.raises(Refused, match=f"{name} needs {library}, not installed here. Run: pip install 'memefuse"):
        main([name, "--stand-in", "--data", str(folder / "data"), "--features", str(tmp_path / "features")])
    assert not list(tmp_path.iterdir())


def test_a_draw_of_one_label_is_refused(copy):
    with pytest.raises(Refused, match=r"--rows 1 draws memes of label [01] alone of train; draw more"):
        main(["fasttext-resnet152-concat", *tiny(copy, "--rows", "1")])
