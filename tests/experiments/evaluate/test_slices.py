"""Which memes a slice holds, and what is said of it."""

import dataclasses

import numpy as np
import planted
import pytest
import torch

from experiments import data as loading
from experiments.evaluate import slices
from experiments.evaluate.delong import auc_error
from experiments.evaluate.intervals import score_interval
from experiments.evaluate.scores import Scores


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> loading.Data:
    return loading.load(planted.features(tmp_path_factory.mktemp("features")))


def head(label: np.ndarray, logit: np.ndarray) -> Scores:
    one = torch.ones(len(logit), dtype=torch.float64)
    return Scores("text", "head", "test", torch.tensor(logit), label, one / 2, one)


def test_confounders_are_texts_under_both_labels(data):
    test = data.tests[0]
    found = slices.with_both_labels(test)
    label = test.pairs.label
    expected = np.zeros(120, bool)
    for row in range(3, 120, 4):  # planted: every fourth meme repeats the text before it
        expected[row - 1 : row + 1] = label[row] != label[row - 1]
    np.testing.assert_array_equal(found, expected)
    assert 0 < found.sum() < 120


def test_images_of_train_are_seen(data):
    masks = slices.masks(data.tests[0], data.train)
    np.testing.assert_array_equal(np.flatnonzero(masks["image also in train"]), np.arange(0, 120, 10))
    np.testing.assert_array_equal(masks["image not in train"], ~masks["image also in train"])


def test_length_bands_part_the_split(data):
    tokens = data.tests[0].pairs.tokens
    bands = slices.length_bands(np.append(tokens, [8, 9, 65]))
    np.testing.assert_array_equal(np.sum(list(bands.values()), axis=0), 1)
    assert [name for name, mask in bands.items() if mask[-1]] == ["over 64 word pieces"]
    assert [name for name, mask in bands.items() if mask[-2]] == ["9 to 16 word pieces"]
    assert [name for name, mask in bands.items() if mask[-3]] == ["1 to 8 word pieces"]


def test_slices_of_all_memes_or_none_are_left_out(data):
    pairs = data.dev.pairs
    alone = loading.Split(dataclasses.replace(pairs, text=dataclasses.replace(pairs.text, tokens=None)))
    unseen = data.tests[0]
    assert set(slices.masks(alone, unseen)) == {
        "text occurs with both labels",
        "image also in train",
        "image not in train",
    }
    assert set(slices.masks(alone, alone)) == {"text occurs with both labels"}


def test_a_slice_has_its_own_area_and_clustered_interval(data):
    test = data.tests[0]
    label, group = test.pairs.label.astype(np.int64), test.group
    logit = np.random.default_rng(0).normal(size=(3, 120)) + label
    mask = np.arange(120) < 80
    found = slices.sliced(head(label, logit), mask, group)
    error = auc_error(logit[:, :80], label[:80] == 1, group[:80])
    assert (found.low, found.high) == score_interval(found.mean, error**2, len(np.unique(group[:80])))
    assert found.low < found.mean < found.high
    assert 0.6 < found.mean < 0.95
    assert 0 < found.sd < 0.1


def test_a_slice_with_few_memes_of_a_label_has_no_interval(data):
    label = np.r_[np.ones(9), np.zeros(40)].astype(np.int64)
    logit = np.random.default_rng(0).normal(size=(1, 49))
    few = slices.sliced(head(label, logit), np.ones(49, bool), np.arange(49))
    assert np.isfinite(few.mean)
    assert np.isnan(few.low)
    none = slices.sliced(head(label, logit), label == 1, np.arange(49))
    assert np.isnan(none.mean)
    assert none.undefined == 1


def test_every_head_is_in_every_slice(data):
    test = data.tests[0]
    label = test.pairs.label.astype(np.int64)
    one = head(label, np.random.default_rng(0).normal(size=(2, 120)))
    found = slices.slices(test, data.train, [one, dataclasses.replace(one, name="early")])
    assert [piece.name for piece in found] == list(slices.masks(test, data.train))
    assert all(list(piece.auc_roc) == ["text", "early"] for piece in found)
    assert all(piece.split == "test" for piece in found)
    confounders = found[0]
    assert confounders.positive * 2 == confounders.memes


def test_what_train_holds_is_told_by_id_text_and_image(data):
    shared = slices.held_by_train(data.tests[0], data.train)
    assert {what: int(mask.sum()) for what, mask in shared.items()} == {"id": 0, "text": 0, "image": 12}
    itself = slices.held_by_train(data.train, data.train)
    assert all(mask.all() for mask in itself.values())
    none = dataclasses.replace(data.train.pairs.text, content=np.full(240, loading.NO_TEXT, "S64"))
    without = loading.Split(dataclasses.replace(data.train.pairs, text=none))
    assert not slices.held_by_train(without, without)["text"].any()
