"""A features folder joined into splits, and refused where its files do not belong together."""

import dataclasses

import numpy as np
import planted
import pytest

from experiments import data as loading
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


def test_loading_without_tests_leaves_them_out(tmp_path):
    data = loading.load(planted.features(tmp_path), tests=False)
    assert (data.tests, data.notes) == ([], [])
