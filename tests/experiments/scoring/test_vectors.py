"""Encoders that were read from a folder, loaded for real: the same one gives what compare saw, others are refused."""

import csv
import io
import json

import pytest
import trained
from tiny_encoders import resnet, resnet_folder, text_folder

from experiments import compare, predict
from experiments.scoring import vectors
from extract import errors
from extract.__main__ import main as extract
from extract.errors import Refused
from extract.store import EncoderIdentity
from heads.models import HEADS

WEIGHTS = "1a2b3c4d" * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny encoders, memes, features in the precision that is natural here, and heads."""
    found = tmp_path_factory.mktemp("world")
    text_folder(found / "bert")
    resnet_folder(found / "resnet", resnet())
    for seed, (split, size) in enumerate({"train": 30, "dev": 20, "test": 13}.items(), 1):
        trained.memes(found / "data", split, size, seed)
    named = ["--text-encoder", f"{found / 'bert'}:mean", "--image-encoder", str(found / "resnet"), "--max-tokens", "20"]
    assert extract(["--data", str(found / "data"), "--features", str(found / "features"), "--quiet", *named]) == 0
    options = ["--features", str(found / "features"), "--out", str(found / "reports"), "--references", "none"]
    (found / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(HEADS, trained.QUICK)}))
    compare.main([*options, "--seeds", "2", "--from-sweep", str(found / "choice.json")])
    return found


def command(folder, *options) -> int:
    given = ["--model", folder / "reports", "--data", folder / "data", "--split", "test", "--cache", "none", *options]
    return errors.run(lambda: predict.main(list(map(str, given))))


def test_the_same_folders_give_what_compare_gave(folder, capsys):
    named = ["--text-encoder", f"{folder / 'bert'}:mean", "--image-encoder", folder / "resnet"]
    assert command(folder, *named) == 0
    found = {row["id"]: row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    compared = trained.compared(folder)
    assert len(found) == 13
    for head, expected in compared.items():
        # the same bits as extract's; what is written has six digits
        assert {name: float(row[head]) for name, row in found.items()} == pytest.approx(expected, abs=1.1e-6)


def test_a_folder_must_be_named(folder, capsys):
    assert command(folder) == 2
    said = capsys.readouterr().err
    assert "was read from a folder: name it with --image-encoder FOLDER" in said


def test_other_weights_in_the_same_place_are_refused(folder, capsys, tmp_path):
    text_folder(tmp_path / "bert", seed=1)
    named = ["--text-encoder", f"{tmp_path / 'bert'}:mean", "--image-encoder", folder / "resnet"]
    assert command(folder, *named) == 2
    said = capsys.readouterr().err
    kept = json.loads((folder / "reports" / "models" / "text.json").read_text())["text"]
    assert f"weights: trained on {kept['settings']['weights']}, here " in said
    assert f"encoder: trained on {kept['name']}, here bert-" in said
    assert "pooling" not in said


@pytest.mark.parametrize(
    ("folder_name", "pooling", "name"),
    [
        ("all-MiniLM-L6-v2", "cls", "all-MiniLM-L6-v2"),
        ("all-MiniLM-L6-v2-mean", "mean", "all-MiniLM-L6-v2:mean"),
        ("resnet50-keras", "pooled", "resnet50-keras"),
        ("org--my-bert", "cls", "org/my-bert"),
        ("org--my-bert-pooler", "pooler", "org/my-bert:pooler"),
        ("org--a--b", "cls", "org/a--b"),
    ],
)
def test_a_features_folder_s_name_tells_the_encoder_s(folder_name, pooling, name):
    kind = "image" if pooling == "pooled" else "text"
    kept = EncoderIdentity(kind, folder_name, 8, "f" * 64, {"pooling": pooling, "weights": WEIGHTS}, {})
    assert vectors.catalogue_name(kept) == name


@pytest.mark.parametrize("folder_name", ["bert-1a2b3c4d", "my--bert-1a2b3c4d", "bert"])
def test_a_folder_s_own_place_is_not_known(folder_name):
    kept = EncoderIdentity("text", folder_name, 8, "f" * 64, {"pooling": "cls", "weights": WEIGHTS}, {})
    with pytest.raises(Refused, match=f"^{folder_name} was read from a folder: name it with --text-encoder FOLDER$"):
        vectors.catalogue_name(kept)


def test_half_precision_that_needs_a_gpu_is_refused_without():
    settings = {"pooling": "cls", "weights": WEIGHTS, "precision": "float16", "max_tokens": 9}
    kept = EncoderIdentity("text", "bert", 8, "f" * 64, settings, {})
    with pytest.raises(Refused, match=r"^bert's vectors were made in float16, which needs a GPU: none is used here"):
        vectors.locate(kept, None, "cpu")


def test_vectors_of_unknown_making_are_refused():
    kept = EncoderIdentity("image", "mine", 8, "f" * 64, {"precision": "float32"}, {})
    with pytest.raises(Refused, match=r"^mine's vectors were not made by extract: .* what pooling, weights was$"):
        vectors.locate(kept, None, "cpu")
