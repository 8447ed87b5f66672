"""Which encoders are meant, and which splits they have in common, or a refusal that names what there is."""

import shutil

import planted
import pytest

from experiments import data as loading
from experiments.search import trials
from extract.errors import Refused
from extract.store import StoreError


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"holds no text features. It is empty.\nRun: python -m extract"):
        loading.load(tmp_path)


def test_two_encoders_of_a_kind_must_be_named(tmp_path):
    planted.features(tmp_path)
    planted.features(tmp_path, names=("org--other", planted.IMAGE))
    with pytest.raises(Refused) as refused:
        loading.load(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} holds 2 text encoders; name one with --text-encoder:\n"
        "  org--other (text: dev, test, train)\n"
        "  tiny-bert (text: dev, test, train)\n"
        "  tiny-resnet (image: dev, test, train)"
    )
    assert loading.load(tmp_path, text_encoder="org/other").text.name == "org--other"
    with pytest.raises(Refused, match=r"holds no image features of resnet50. It holds:\n  org--other \(text"):
        loading.load(tmp_path, "tiny-bert", "resnet50")


def test_grids_are_never_offered_to_heads(tmp_path):
    planted.features(tmp_path)
    planted.features(tmp_path, names=(planted.TEXT, "resnet18-grid"))
    for split in planted.SIZES:
        planted.rewrite(tmp_path, "resnet18-grid", split, settings={"pooling": "grid"})
    assert loading.load(tmp_path).image.name == planted.IMAGE
    assert [data.image.name for data in trials.pairs(tmp_path, "all", "all")[0]] == [planted.IMAGE]
    for name in ("resnet18-grid", "resnet18:grid"):
        with pytest.raises(Refused) as refused:
            loading.load(tmp_path, image_encoder=name)
        assert str(refused.value) == (
            f"{name} holds grids of vectors, and a head takes one vector a meme.\n"
            "Name the same encoder without :grid, here and before that in python -m extract --image-encoder"
        )
    shutil.rmtree(tmp_path / planted.IMAGE)
    with pytest.raises(Refused, match=r"holds no image features. It holds:\n  resnet18-grid \(image grids: dev, test"):
        loading.load(tmp_path)


def test_a_text_encoder_is_no_image_encoder(tmp_path):
    with pytest.raises(Refused, match="holds no image features of tiny-bert"):
        loading.load(planted.features(tmp_path), image_encoder=planted.TEXT)


def test_dev_seen_stands_in_for_dev_and_every_test_split_is_read(tmp_path):
    sizes = {"train": 40, "dev_seen": 30, "test_unseen": 20, "test_seen": 20}
    data = loading.load(planted.features(tmp_path, sizes))
    assert [split.name for split in (data.dev, *data.tests)] == ["dev_seen", "test_seen", "test_unseen"]


def test_a_missing_dev_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(Refused) as refused:
        loading.load(planted.features(tmp_path, {"train": 40, "test": 20}))
    assert str(refused.value) == (
        "no features of dev for both encoders; dev decides when training stops, and test must not. There are:\n"
        "  tiny-bert: test, train\n  tiny-resnet: test, train\nRun: python -m extract --split dev"
    )


def test_stale_precision_is_named(tmp_path):
    planted.features(tmp_path)
    planted.rewrite(tmp_path, planted.TEXT, "dev", settings={"precision": "bfloat16"})
    with pytest.raises(StoreError) as error:
        loading.load(tmp_path)
    assert f"mixed up in {tmp_path / planted.TEXT}:" in str(error.value)
    assert ", text, 6 dims, precision float32\n  dev: fingerprint " in str(error.value)
    assert ", text, 6 dims, precision bfloat16\n" in str(error.value)


def test_another_encoders_file_in_the_folder_is_named(tmp_path):
    planted.features(tmp_path)
    (tmp_path / planted.TEXT / "test.h5").write_bytes((tmp_path / planted.IMAGE / "test.h5").read_bytes())
    with pytest.raises(StoreError, match=r"dev: fingerprint \w{12}, text, 6 dims, name tiny-bert\n") as error:
        loading.load(tmp_path)
    assert ", image, 9 dims, name tiny-resnet\n" in str(error.value)


def test_a_test_split_of_one_encoder_is_left_out_and_named(tmp_path):
    planted.features(tmp_path)
    (tmp_path / planted.IMAGE / "test.h5").unlink()
    data = loading.load(tmp_path)
    assert (data.tests, data.notes) == ([], ["test is left out: tiny-bert has it, tiny-resnet does not."])
