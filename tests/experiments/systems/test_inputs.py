"""Batches and draws of memes; images that an encoder trains on are all looked at before any training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from systems_command import split_of, tiny
from trained import picture

from experiments.data import Split
from experiments.systems import inputs, results
from experiments.systems.__main__ import main
from experiments.systems.encoders import Side
from experiments.systems.inputs import inputs_of, padded, undersampled
from extract import store
from extract.dataset import Meme
from extract.errors import Refused
from extract.store import EncoderIdentity

pytest_plugins = ["systems_folder"]
pytestmark = pytest.mark.usefixtures("quick")

MLP = "distilbert-resnet50-mlp"


def break_images(folder: Path) -> list[str]:
    """Two images of train and one of test that are none. Returns their memes' ids."""
    ids = []
    for split, count in (("train", 2), ("test", 1)):
        for line in (folder / "data" / f"{split}.jsonl").read_text().splitlines()[:count]:
            (folder / "data" / json.loads(line)["img"]).write_bytes(b"no image")
            ids.append(json.loads(line)["id"])
    return ids


def test_an_encoder_that_trains_names_all_images_that_are_none_before_any_work(copy):
    ids = break_images(copy)
    with pytest.raises(Refused) as refusal:
        main([MLP, *tiny(copy, "--train", "image", "--steps", "1")])
    said = str(refusal.value).splitlines()
    assert said[0] == "the images of 3 of 100 memes cannot be decoded; nothing was trained."
    assert [line.split()[1] for line in said[1:4]] == sorted(ids[:2]) + ids[2:]
    assert said[1].endswith("not an image of a known format")
    assert said[4].endswith("or pass --on-error skip: these memes are left out and named.")
    assert not (copy / "features").exists()


def test_an_encoder_that_trains_skips_images_that_are_none(copy, capsys):
    ids = break_images(copy)
    main([MLP, *tiny(copy, "--train", "text,image", "--steps", "1", "--on-error", "skip")])
    [result] = [each for each in results.all_results(copy / "reports") if each.system == MLP]
    assert (result.train_of, result.memes) == (46, {"dev": 20, "test": 31})
    named = ", ".join(sorted(ids[:2]))
    assert f"train: 2 memes left out, whose images cannot be decoded: {named}." in result.notes
    assert "train: 2 memes left out" in capsys.readouterr().out


def test_a_look_at_an_image_says_what_it_is_or_why_it_is_none(tmp_path):
    (tmp_path / "one.png").write_bytes(picture((1, 2, 3)))
    (tmp_path / "none.png").write_bytes(b"")
    sources = [tmp_path / name for name in ("one.png", "none.png", "absent.png")]
    good, empty, absent = inputs.decode_once(sources).values()
    assert (len(good[0]), good[1]) == (64, "")
    assert empty[1] == "empty file"
    assert "No such file" in absent[1]


def test_batches_pad_word_pieces_and_mask_what_they_padded():
    ids, mask = padded([[1, 5, 2], [1, 2]])
    assert ids.tolist() == [[1, 5, 2, 0, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0, 0, 0]]
    assert mask.sum(dim=1).tolist() == [3, 2]


def test_undersampling_keeps_all_of_the_smaller_class_and_as_many_of_the_larger():
    label = np.array([0] * 10 + [1] * 4)
    rows = undersampled(label)
    assert np.bincount(label[rows]).tolist() == [4, 4]
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, undersampled(label))


def test_a_split_keeps_its_rows_together_whatever_the_order_of_its_memes(tmp_path):
    """Vectors, labels, texts and images of some rows, in an order of their own."""
    ids = [f"{number:02d}" for number in range(10)]
    memes = [Meme(name, f"text {name}", tmp_path / f"{name}.png", int(name) % 2) for name in ids]
    sides = {}
    for kind, order in (("text", ids), ("image", ids[::-1])):
        vector = np.array([[float(name)] for name in order], np.float32)
        label = np.array([int(name) % 2 for name in order], np.int8)
        content = np.array([name.zfill(64) for name in order], "S64")
        identity = EncoderIdentity(kind, kind, 1, "", {}, {})
        features = store.Features(identity, "train", np.array(order), label, content, [], vector=vector)
        sides[kind] = features, Side(kind, kind, False, False, identity)
    split = Split(store.join(*(features for features, _ in sides.values()))).only(np.array([7, 2]))
    some = inputs_of(split, memes[::-1], tuple(side for _, side in sides.values()), 8)
    assert len(some) == 2
    assert [(row["labels"], row["text_vec"][0], row["image_vec"][0]) for row in (some[0], some[1])] == [
        (1, 7.0, 7.0),
        (0, 2.0, 2.0),
    ]
    in_model = tuple(replace(side, cached=False) for _, side in sides.values())
    pictures = inputs_of(split, memes[::-1], in_model, 8).columns["pixels"]
    assert [source.stem for source in pictures.sources] == ["07", "02"]


def test_memes_are_told_apart_by_all_that_figures_hang_on():
    ids, label, text = np.array(["a", "b"]), np.array([0, 1]), np.array([b"0" * 64, b"1" * 64])
    split = split_of(ids, label, text, text)
    others = [
        split_of(np.array(["a", "c"]), label, text, text),
        split_of(ids, 1 - label, text, text),
        split_of(ids, label, text[::-1], text),
        split_of(ids, label, text, text[::-1]),
    ]
    assert len({inputs.digest_of([each]) for each in [split, *others]}) == 5
    nothing = split_of(ids, np.full(2, -1), text, text, "test_unseen")
    assert inputs.digest_of([split, nothing]) == inputs.digest_of([split])
