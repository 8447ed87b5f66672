"""What the benches are fed with: a signal where it is said to be, encoders that any loader takes."""

import math

import numpy as np
import pytest
from tiny_encoders import PATCHES, SMALL_BERT

from experiments import data as loading
from experiments.bench import random_inputs
from experiments.options import DEFAULT_HEADS, head_names
from extract import encoders, store
from extract.encoders import catalogue
from heads.train import HeadSettings, Rows, fit

SIZES = {"train": 300, "dev": 80, "test": 80}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return random_inputs.publish_vectors(tmp_path_factory.mktemp("features"), SIZES, (12, 20))


def test_the_signal_is_where_it_is_said_to_be(features):
    data = loading.load(features)
    assert (data.text.dim, data.image.dim) == (12, 20)
    train, dev = (
        Rows(split.pairs.text_vec, split.pairs.image_vec, split.pairs.label.astype(np.int64))
        for split in (data.train, data.dev)
    )
    quick = HeadSettings(hidden=32, learning_rate=5e-3, weight_decay=0.1, max_epochs=20)
    auc = {head: fit(head, train, dev, [quick]).dev_auc.item() for head in head_names(DEFAULT_HEADS)}
    assert min(auc["text"], auc["image"]) > 0.52
    assert auc["early"] > auc["late"]
    assert best_auc() > 0.85


def best_auc() -> float:
    """The AUC-ROC of the evidence without its noise: what no head can beat on many rows."""
    weights = random_inputs.WEIGHTS
    hints = [(t, i, x) for t in (-1, 1) for i in (-1, 1) for x in (-1, 1)]
    evidence = np.array([weights["text"] * t + weights["image"] * i + weights["both"] * x for t, i, x in hints])
    hateful = np.array([(1 + math.erf(each / weights["noise"] / math.sqrt(2))) / 2 for each in evidence])
    above = (evidence[:, None] > evidence) + 0.5 * (evidence[:, None] == evidence)
    return float(hateful @ above @ (1 - hateful) / (hateful.sum() * (1 - hateful).sum()))


def test_random_inputs_are_the_same_however_they_are_cut(tmp_path, features, monkeypatch):
    monkeypatch.setattr(random_inputs, "BLOCK", 7)
    again = random_inputs.publish_vectors(tmp_path, SIZES, (12, 20))
    for kind in random_inputs.NAMES.values():
        vectors = [store.read(folder / kind / "train.h5").vector for folder in (features, again)]
        np.testing.assert_allclose(*vectors, rtol=0, atol=1e-6)  # the hints' product rounds differently


def test_words_of_the_memes_are_one_word_piece_each(monkeypatch, tmp_path):
    monkeypatch.setattr(random_inputs, "BERT", SMALL_BERT)
    folder = random_inputs.write_text_encoder(tmp_path / "text", ["Don't feed the cats!"])
    encoder = encoders.load(catalogue.locate("text", str(folder)), device="cpu", dtype="float32", max_tokens=128)
    ids = encoder.prepare(["don't feed THE cats !"])[0]
    assert len(ids) == 2 + 7
    assert random_inputs.SPECIALS.index("[UNK]") not in ids


@pytest.mark.parametrize("name", random_inputs.VISION)
def test_vision_transformers_are_written_as_extract_reads_them(monkeypatch, tmp_path, name):
    kind, settings, side = random_inputs.VISION[name]
    tiny = SMALL_BERT | {"image_size": settings["image_size"], "patch_size": settings["patch_size"]}
    assert {*settings} == {*SMALL_BERT, *PATCHES}
    monkeypatch.setitem(random_inputs.VISION, name, (kind, tiny, side))
    located = catalogue.locate("image", str(random_inputs.write_image_encoder(tmp_path / name)))
    assert encoders.settings(located, dtype="float32", max_tokens=0)["transform"].count(f"{side}x{side}") == 1
    assert encoders.load(located, device="cpu", dtype="float32", max_tokens=0).dim == 32
