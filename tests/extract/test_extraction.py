"""Plan, parts, publish: nothing is encoded twice, nothing encoded is lost, no stale vector is ever used."""

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction_steps import check_published, encode_images, encode_texts, folder_of, image_split, picture, text_split
from fake_encoders import FakeImage, FakeText, text_vector
from hypothesis import given, settings
from hypothesis import strategies as st

from extract import engine, store
from extract.encoders import batches
from extract.plan import Item, cut, unique
from extract.publish import publish

datasets = st.lists(st.tuples(st.text("abc", max_size=4), st.integers(0, 1)), min_size=1, max_size=20)


def rows_of(drawn):
    return [(number, text, label) for number, (text, label) in enumerate(drawn)]


@settings(max_examples=30, deadline=None)
@given(datasets, st.integers(1, 7), st.integers(1, 7), st.randoms())
def test_part_size_and_order_never_change_the_published_file(tmp_path_factory, drawn, rows, other_rows, shuffler):
    split = text_split("train", rows_of(drawn))
    files = []
    for size, shuffled in ((rows, False), (other_rows, True)):
        folder = folder_of(tmp_path_factory.mktemp("order"))
        items = unique([Item(meme.text_content, meme.text) for meme in split.memes], set())
        if shuffled:
            shuffler.shuffle(items)
        engine.write_parts([(cut(items, size), batches.Batches(FakeText(), 2), folder)])
        publish([folder], [split], {}, skip=False)
        check_published(folder, split)
        files.append(folder.published("train").read_bytes())
    assert files[0] == files[1]


@settings(max_examples=30, deadline=None)
@given(datasets, datasets)
def test_a_changed_dataset_encodes_only_what_is_new(tmp_path_factory, before, after):
    folder = folder_of(tmp_path_factory.mktemp("change"))
    first, second = text_split("train", rows_of(before)), text_split("train", rows_of(after))
    encode_texts(folder, [first])
    publish([folder], [first], {}, skip=False)
    encoded = encode_texts(folder, [second])
    publish([folder], [second], {}, skip=False)
    assert sorted(encoded) == sorted({text for text, _ in after} - {text for text, _ in before})
    check_published(folder, second)
    fresh = folder_of(tmp_path_factory.mktemp("fresh"))
    encode_texts(fresh, [second])
    publish([fresh], [second], {}, skip=False)
    assert fresh.published("train").read_bytes() == folder.published("train").read_bytes()


def test_rows_that_move_between_splits_are_not_encoded_again(tmp_path):
    folder = folder_of(tmp_path)
    one, two = [(1, "a", 0), (2, "b", 1)], [(3, "c", 0)]
    splits = [text_split("train", one), text_split("dev", two)]
    encode_texts(folder, splits)
    publish([folder], splits, {}, skip=False)
    moved = [text_split("train", [(1, "a", 0), *two]), text_split("dev", [(2, "b", 1)])]
    assert encode_texts(folder, moved) == []
    publish([folder], moved, {}, skip=False)
    for split in moved:
        check_published(folder, split)


@pytest.mark.parametrize("change", [{"weights": "v"}, {"pooling": "mean"}, {"max_tokens": 64}, {"dtype": "float32"}])
def test_another_encoder_never_reuses_a_stale_vector(tmp_path, change):
    split = text_split("train", [(1, "a", 0), (2, "b", 1)])
    old, new = folder_of(tmp_path), folder_of(tmp_path, **change)
    encode_texts(old, [split])
    publish([old], [split], {}, skip=False)
    assert sorted(encode_texts(new, [split])) == ["a", "b"]
    publish([new], [split], {}, skip=False)
    assert store.read(new.published("train")).identity.fingerprint == new.fingerprint != old.fingerprint


def test_a_correct_label_costs_no_encoding(tmp_path):
    folder = folder_of(tmp_path)
    for label in (0, 1):
        split = text_split("train", [(1, "a", label)])
        encoded = encode_texts(folder, [split])
        publish([folder], [split], {}, skip=False)
        check_published(folder, split)
    assert encoded == []


def test_long_texts_keep_their_length_before_truncation(tmp_path):
    folder = folder_of(tmp_path)
    split = text_split("train", [(1, "y" * 50, 0), (2, "", 1)])
    encode_texts(folder, [split])
    publish([folder], [split], {}, skip=False)
    tokens = store.read(folder.published("train")).tokens
    assert tokens is not None
    assert tokens.tolist() == [52, 2]


class NoSpecials(FakeText):
    """As GPT-2's: an empty text has no word piece at all."""

    def prepare(self, contents):
        return [ids[1:-1] for ids in super().prepare(contents)]


@pytest.mark.parametrize("max_tokens", [4, 16])
def test_a_text_without_word_pieces_is_encoded(tmp_path, max_tokens):
    folder = folder_of(tmp_path)
    split = text_split("train", [(1, "", 0), (2, "ab", 1)])
    encode_texts(folder, [split], encoder=NoSpecials(max_tokens=max_tokens))
    publish([folder], [split], {}, skip=False)
    features = store.read(folder.published("train"))
    assert features.tokens is not None
    assert features.tokens.tolist() == [0, 2]
    np.testing.assert_array_equal(features.vector[0], text_vector([], 8))


# images


pictures = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@settings(max_examples=20, deadline=None)
@given(pictures, pictures)
def test_images_that_are_added_swapped_or_moved_cost_only_new_contents(tmp_path_factory, before, after):
    place = tmp_path_factory.mktemp("images")
    folder, fresh = folder_of(place, "image"), folder_of(place / "fresh", "image")
    for drawn, new in ((before, set(before)), (after, set(after) - set(before))):
        home = Path(tempfile.mkdtemp(dir=place))  # every image has moved
        split, encoder = image_split(home, "train", [picture(number) for number in drawn]), FakeImage()
        assert encode_images(folder, [split], batch_size=1, encoder=encoder) == {}
        publish([folder], [split], {}, skip=False)
        assert sum(encoder.batches) == len(new)
    encode_images(fresh, [split], batch_size=1)
    publish([fresh], [split], {}, skip=False)
    assert fresh.published("train").read_bytes() == folder.published("train").read_bytes()


def test_images_land_in_their_rows_and_every_batch_has_one_shape(tmp_path):
    split = image_split(tmp_path, "train", [picture(i % 8) for i in range(11)])
    folder = folder_of(tmp_path, "image")
    encoder = FakeImage()
    assert encode_images(folder, [split], encoder=encoder) == {}
    publish([folder], [split], {}, skip=False)
    assert encoder.batches == [3, 3, 3, 3]  # eight different images in parts of four
    vectors = store.read(folder.published("train")).vector
    for number, vector in enumerate(vectors):
        colour = ((number % 8 * 37) % 256, (number % 8 * 91) % 256, number % 8)
        np.testing.assert_allclose(vector, [*colour, *colour], atol=0.01)


@pytest.mark.parametrize(("cores", "batch_size", "threads"), [(1, 8, {1}), (2, 8, {1}), (2, 16, {2}), (3, 12, {1})])
def test_each_core_encodes_batches_of_its_own_unless_they_are_large(tmp_path, cores, batch_size, threads):
    split = image_split(tmp_path, "train", [picture(i) for i in range(40)])
    folder, encoder, seen = folder_of(tmp_path, "image"), FakeImage(), set()
    sound = encoder.encode
    encoder.encode = lambda pixels: (seen.add(torch.get_num_threads()), sound(pixels))[1]
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        assert encode_images(folder, [split], rows=16, batch_size=batch_size, encoder=encoder) == {}
        assert (seen, torch.get_num_threads()) == (threads, cores)
    finally:
        torch.set_num_threads(before)
    publish([folder], [split], {}, skip=False)
    colours = [[(number * 37) % 256, (number * 91) % 256, number] for number in range(40)]
    assert store.read(folder.published("train")).vector[:, 3:].tolist() == colours


def test_renamed_and_moved_images_are_not_encoded_again(tmp_path):
    folder = folder_of(tmp_path, "image")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = image_split(tmp_path / "a", "train", [picture(i) for i in range(5)])
    encode_images(folder, [first])
    publish([folder], [first], {}, skip=False)
    moved = image_split(tmp_path / "b", "train", [picture(i) for i in random.Random(0).sample(range(5), 5)])
    encoder = FakeImage()
    encode_images(folder, [moved], encoder=encoder)
    assert encoder.batches == []


def test_an_image_that_changes_after_hashing_is_not_stored_under_the_old_hash(tmp_path):
    split = image_split(tmp_path, "train", [picture(1)])
    split.memes[0].image.write_bytes(picture(2))
    bad = encode_images(folder_of(tmp_path, "image"), [split])
    assert list(bad.values()) == ["changed while it was being read"]
