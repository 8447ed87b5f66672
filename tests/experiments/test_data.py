"""Finding the pair of encoders, and refusing what does not belong together."""

import dataclasses
import shutil

import numpy as np
import planted
import pytest

from experiments import data as loading
from experiments.search import trials
from extract.errors import Refused
from extract.store import StoreError


def test_the_only_pair_is_found_and_joined_in_the_order_of_ids(tmp_path):
    data = loading.load(planted.features(tmp_path, shuffle=3))
    assert (data.text.name, data.text.dim, data.image.name, data.image.dim) == (planted.TEXT, 6, planted.IMAGE, 9)
    assert [split.name for split in (data.train, data.dev, *data.tests)] == ["train", "dev", "test"]
    assert data.dev.pairs.ids.tolist() == sorted(data.dev.pairs.ids.tolist())
    plain = loading.load(planted.features(tmp_path / "plain"))
    np.testing.assert_array_equal(data.train.pairs.text_vec, plain.train.pairs.text_vec)
    np.testing.assert_array_equal(data.train.pairs.image_content, plain.train.pairs.image_content)
    assert data.notes == []


def test_texts_that_were_cut_are_counted(tmp_path):
    planted.features(tmp_path)
    for split in planted.SIZES:
        planted.rewrite(tmp_path, planted.TEXT, split, settings={"max_tokens": 40})
    data = loading.load(tmp_path)
    counts = [
        f"{(split.pairs.tokens > 40).sum()} of {len(split)} of {split.name}"
        for split in (data.train, data.dev, *data.tests)
        if (split.pairs.tokens > 40).any()
    ]
    assert len(counts) > 1
    assert data.notes == [f"Texts longer than {planted.TEXT}'s 40 word pieces are cut: {', '.join(counts)}."]


def test_no_features_folder_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"no features folder .*nowhere; run: python -m extract"):
        loading.load(tmp_path / "nowhere")


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


def test_a_file_cut_short_is_named(tmp_path):
    planted.features(tmp_path)
    path = tmp_path / planted.IMAGE / "test.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(StoreError, match=rf"{path}: its bytes do not match its sha256; delete it and run"):
        loading.load(tmp_path)


def test_memes_without_a_side_are_counted_and_named(tmp_path):
    planted.features(tmp_path)
    planted.rewrite(tmp_path, planted.IMAGE, "test", rows=slice(2, None))
    planted.rewrite(tmp_path, planted.TEXT, "dev", rows=slice(0, 113))
    data = loading.load(tmp_path)
    assert data.notes == [
        "dev: 7 memes without a text vector left out: dev-0113, dev-0114, dev-0115, dev-0116, dev-0117 and 2 more.",
        "test: 2 memes without an image vector left out: test-0000, test-0001.",
    ]
    assert (len(data.dev), len(data.tests[0])) == (113, 118)


def test_no_meme_in_common_is_refused(tmp_path):
    planted.features(tmp_path)
    planted.rewrite(tmp_path, planted.IMAGE, "dev", ids=np.array([f"other-{row}" for row in range(120)]))
    with pytest.raises(
        Refused, match=r"no meme of dev has both .*tiny-bert has 120 ids, tiny-resnet 120, none in common"
    ):
        loading.load(tmp_path)


def test_contradicting_labels_are_named(tmp_path):
    planted.features(tmp_path, label={"test": 1})
    planted.rewrite(tmp_path, planted.IMAGE, "test", label=np.r_[0, np.ones(119)])
    with pytest.raises(StoreError, match="test-0000  tiny-bert: 1, tiny-resnet: 0"):
        loading.load(tmp_path)


@pytest.mark.parametrize(("label", "holds"), [(1, "only label 1"), (-1, "no labels")])
@pytest.mark.parametrize("split", ["train", "dev"])
def test_train_and_dev_need_both_labels(tmp_path, split, label, holds):
    planted.features(tmp_path, label={split: label})
    with pytest.raises(Refused, match=rf"{split} holds {holds} \(\d+ memes\); heads need both labels"):
        loading.load(tmp_path)


def test_unlabelled_memes_of_train_are_left_out(tmp_path):
    planted.features(tmp_path)
    for name in (planted.TEXT, planted.IMAGE):
        planted.rewrite(tmp_path, name, "train", label=np.r_[-np.ones(5), np.zeros(115), np.ones(120)])
    data = loading.load(tmp_path)
    assert (len(data.train), data.notes) == (235, ["train: 5 memes without a label left out."])


def test_a_test_split_of_one_encoder_is_left_out_and_named(tmp_path):
    planted.features(tmp_path)
    (tmp_path / planted.IMAGE / "test.h5").unlink()
    data = loading.load(tmp_path)
    assert (data.tests, data.notes) == ([], ["test is left out: tiny-bert has it, tiny-resnet does not."])


def test_groups_are_equal_texts_and_empty_texts_stand_alone(tmp_path):
    data = loading.load(planted.features(tmp_path))
    assert data.dev.group.max() + 1 == 90
    assert data.dev.group[2] == data.dev.group[3] != data.dev.group[4]
    content = data.dev.pairs.text.content.copy()
    content[2:4] = loading.NO_TEXT
    without = loading.Split(
        dataclasses.replace(data.dev.pairs, text=dataclasses.replace(data.dev.pairs.text, content=content))
    )
    assert without.group.max() + 1 == 91
