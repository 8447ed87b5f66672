"""What a features folder holds, and joins that go by id."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_features import distinct_ids, make

from extract import store
from extract.errors import Refused


@given(distinct_ids, st.data())
def test_join_goes_by_id(ids, data):
    text_ids = data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))]
    image_ids = data.draw(st.permutations(ids))
    number = {name: float(i) for i, name in enumerate(ids)}
    text = make(text_ids, vector=np.array([[number[name]] for name in text_ids], np.float32).reshape(-1, 1))
    image = make(image_ids, "image", vector=np.array([[number[name]] for name in image_ids], np.float32))
    pairs = store.join(text, image)
    np.testing.assert_array_equal(pairs.text_vec, pairs.image_vec)
    assert pairs.ids.tolist() == list(text_ids)
    assert pairs.without_text == sorted(set(ids) - set(text_ids))
    assert pairs.without_image == []


def test_join_refuses_different_labels_and_double_ids():
    text, image = make(["a", "b"], label=[0, 1]), make(["b", "a"], "image", label=[0, 0])
    with pytest.raises(
        store.StoreError, match=r"(?s)1 of 2 memes of train have different labels.*b  text-encoder: 1, image-encoder: 0"
    ):
        store.join(text, image)
    with pytest.raises(store.StoreError, match="text-encoder/train: 1 ids occur twice; first: a"):
        store.join(make(["a", "a"]), image)


@pytest.mark.parametrize(
    ("splits", "held"),
    [
        ({"train", "dev_seen"}, {"train", "dev_seen"}),
        ({"train", "dev", "dev_seen"}, {"train", "dev", "dev_seen"}),
        ({"train"}, {"train", "dev", "dev_seen"}),  # what is said of neither decides nothing
    ],
)
def test_a_dev_file_of_a_manifest_that_has_gone_is_not_taken(tmp_path, splits, held):
    for split in ("train", "dev", "dev_seen"):
        store.publish(tmp_path / f"bert/{split}.h5", make(["a"], split=split))
    identity = store.DatasetIdentity("memes", dict.fromkeys(splits, "0"))
    (tmp_path / "bert" / store.DATASET).write_text(identity.to_json())
    assert store.encoders(tmp_path)["bert"].splits.keys() == held


def test_encoders_lists_what_a_folder_holds(tmp_path):
    store.publish(tmp_path / "bert/train.h5", make(["a"]))
    store.publish(tmp_path / "bert/dev_seen.h5", make(["b"], split="dev_seen"))
    store.publish(tmp_path / "resnet/train.h5", make(["a"], "image"))
    found = store.encoders(tmp_path)
    assert {name: (folder.kind, sorted(folder.splits)) for name, folder in found.items()} == {
        "bert": ("text", ["dev_seen", "train"]),
        "resnet": ("image", ["train"]),
    }
    with pytest.raises(Refused, match="no features folder"):
        store.encoders(tmp_path / "none")
    for split in ("dev_seen", "train"):  # which kind of vectors they are the other file tells
        (tmp_path / f"bert/{split}.h5").write_bytes(b"damaged")
        if split == "dev_seen":
            assert store.encoders(tmp_path)["bert"] == found["bert"]
    with pytest.raises(store.StoreError, match=r"bert/train\.h5: its bytes do not match"):
        store.encoders(tmp_path)


def test_a_folder_with_vectors_of_two_datasets_is_refused(tmp_path):
    store.publish(tmp_path / "bert/train.h5", make(["a"]))
    store.publish(tmp_path / "resnet/train.h5", make(["a"], "image"))
    mine = store.DatasetIdentity("/data/mine", {"train": "1", "dev": "2"})
    (tmp_path / "bert" / store.DATASET).write_text(mine.to_json())
    for same in (replace(mine, splits={}), replace(mine, data="/moved", splits={"dev": "2", "train": "new"})):
        (tmp_path / "resnet" / store.DATASET).write_text(same.to_json())
        assert set(store.encoders(tmp_path)) == {"bert", "resnet"}
    (tmp_path / "resnet" / store.DATASET).write_text(replace(mine, data="/other", splits={"train": "2"}).to_json())
    with pytest.raises(
        Refused, match=r"holds vectors of two datasets, /data/mine \(bert\) and /other \(resnet\): give one of them an"
    ):
        store.encoders(tmp_path)
