"""Which encoders stand in for which; fastText's vectors, the same wherever they are made, of train's texts alone."""

import hashlib
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import vision_folder

from experiments.systems import encoders
from experiments.systems.published import SYSTEMS
from extract import store
from extract.dataset import Meme
from extract.encoders import catalogue
from extract.errors import Refused
from extract.store import EncoderIdentity

ROOT = Path(__file__).parents[3]
TEXTS = [f"the cat sat on mat {number % 3}" for number in range(30)]
DIGEST = """
import hashlib
from experiments.systems import encoders
encoders.CBOW["bucket"] = 1000
texts = [f"the cat sat on mat {number % 3}" for number in range(30)]
vectors = encoders.fasttext_vectors(texts + ["catlike"], encoders.learn_fasttext(texts))
print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def few_buckets(monkeypatch):
    monkeypatch.setitem(encoders.CBOW, "bucket", 1000)


def memes(texts: list[str]) -> list[Meme]:
    return [Meme(f"{row:03d}", text, Path("none.png"), row % 2) for row, text in enumerate(texts)]


@pytest.fixture(scope="module")
def learned():
    return encoders.learn_fasttext(TEXTS)


def test_a_text_is_the_mean_of_its_words_at_length_one(learned):
    one, other = (learned.get_vector(word) for word in ("cat", "mat"))
    wanted = (one / np.linalg.norm(one) + other / np.linalg.norm(other)) / 2
    [found] = encoders.fasttext_vectors(["cat  mat"], learned)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)  # where two words all but cancel, fp32's rounding


def test_no_words_are_zeros_and_unknown_ones_are_made_of_pieces(learned):
    empty, unknown = encoders.fasttext_vectors(["", "catlike"], learned)
    assert empty.shape == (150,)
    assert not empty.any()
    assert unknown.any()


def test_python_hash_seed_changes_no_bit():
    run = [
        subprocess.run([sys.executable, "-c", DIGEST], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert run[0] == run[1]


def test_published_as_features_and_not_made_again(tmp_path, monkeypatch):
    splits = {"train": memes(TEXTS), "dev": memes(TEXTS[:3])}
    encoders.publish_fasttext(tmp_path / "fasttext", splits)
    rows = store.read(tmp_path / "fasttext" / "dev.h5")
    assert rows.vector.shape == (3, 150)
    assert rows.identity.kind == "text"
    assert rows.content[0].decode() == hashlib.sha256(TEXTS[0].encode()).hexdigest()
    store.verify(tmp_path / "fasttext" / "train.h5")
    monkeypatch.setattr(encoders, "learn_fasttext", lambda texts: pytest.fail("trained again"))
    encoders.publish_fasttext(tmp_path / "fasttext", splits)


def test_other_train_texts_or_settings_are_another_fingerprint(tmp_path, monkeypatch):
    before = encoders.fasttext_settings(TEXTS)
    assert store.fingerprint(before) != store.fingerprint(encoders.fasttext_settings([*TEXTS[:-1], "the dog"]))
    assert store.fingerprint(before) != store.fingerprint(
        encoders.fasttext_settings([TEXTS[0] + "\0" + TEXTS[1], *TEXTS[2:]])
    )
    monkeypatch.setitem(encoders.CBOW, "epochs", 6)
    assert store.fingerprint(before) != store.fingerprint(encoders.fasttext_settings(TEXTS))


def test_dev_and_test_texts_teach_it_nothing(tmp_path):
    for name, dev in (("one", TEXTS[:4]), ("other", ["mat mat mat mat"] * 4)):
        encoders.publish_fasttext(tmp_path / name, {"train": memes(TEXTS), "dev": memes(dev)})
    one, other = (store.read(tmp_path / name / "train.h5").vector for name in ("one", "other"))
    assert np.array_equal(one, other)


def test_texts_without_a_frequent_word_are_refused():
    with pytest.raises(Refused, match="words that occur 5 times or more; the 2 texts of train have none"):
        encoders.learn_fasttext(["a b", "c d"])


def test_a_grid_is_asked_of_a_stand_in_where_a_grid_was_published():
    asked = encoders.Request(stand_in=True)
    assert asked.named("image", "resnet18:grid") == "resnet50-keras:grid"
    assert asked.named("text", "bert-base-uncased:pooler") == "all-MiniLM-L6-v2"
    assert asked.named("text", "fasttext") == "fasttext"


@pytest.mark.parametrize(
    ("kind", "name", "published", "is_other"),
    [
        ("text", "bert-base-uncased", "bert-base-uncased", False),
        ("text", "google-bert/bert-base-uncased", "bert-base-uncased", False),
        ("text", "/models/bert-base-uncased:pooler", "bert-base-uncased:pooler", False),
        ("text", "bert-base-uncased:cls", "bert-base-uncased", False),
        ("text", "bert-base-uncased", "bert-base-uncased:pooler", True),
        ("text", "all-MiniLM-L6-v2", "bert-base-uncased", True),
        ("image", "resnet18:grid", "resnet18:grid", False),
        ("image", "resnet50-keras:grid", "resnet18:grid", True),
        ("text", "fasttext", "fasttext", False),
    ],
)
def test_what_stands_in_is_told_from_what_was_published(kind, name, published, is_other):
    assert encoders.is_other(kind, name, published) == is_other


def test_a_stand_in_out_of_reach_is_not_offered_again():
    refusals = [
        ("text", "all-MiniLM-L6-v2", "all-MiniLM-L6-v2: no registry\nmore"),
        ("image", "resnet50", "resnet50: none"),
    ]
    said = encoders.way_out(refusals, ["lab", "--stand-in"])
    assert said.splitlines()[:2] == ["all-MiniLM-L6-v2: no registry", "resnet50: none"]
    assert "--text-encoder all-MiniLM-L6-v2" not in said


@pytest.mark.parametrize(("trains", "pooling"), [(True, "cls"), (False, "grid"), (False, "cls")])
def test_no_vision_transformer_stands_in_a_model(tmp_path, trains, pooling):
    name = f"{vision_folder(tmp_path / 'vit', 'vit')[0]}:{pooling}"
    located = catalogue.locate("image", name)
    identity = EncoderIdentity("image", located.slug, 0, located.weights, {}, {})
    side = encoders.Side(name, "resnet18", True, trains, identity, located, cached=not trains)
    refused = pytest.raises(Refused, match=r"lab takes no .*vit:.* read in parts: name a ResNet")
    with refused if trains or pooling == "grid" else nullcontext():
        encoders.refuse_towers(SYSTEMS["lab"], side)
