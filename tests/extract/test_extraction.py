"""Plan, parts, publish: nothing is encoded twice, nothing encoded is lost, no stale vector is ever used."""

import errno
import fcntl
import hashlib
import io
import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction_steps import check_published, encode_texts, folder_of, text_split
from fake_encoders import FakeImage, FakeText, text_vector
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from extract import engine, inspect, store
from extract.dataset import HashedSplit, Meme
from extract.encoders import batches
from extract.errors import Failed, Refused
from extract.parts import Held
from extract.plan import Item, Part, by_length, cut, merged, unique
from extract.publish import publish, refuse_other_dataset
from extract.store import files

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


def test_parts_of_an_unfinished_run_are_used_and_then_swept_away(tmp_path):
    folder = folder_of(tmp_path)
    split = text_split("train", [(i, "x" * i, 0) for i in range(10)])
    items = by_length([Item(meme.text_content, meme.text) for meme in split.memes])
    engine.write_parts([(cut(items, 3)[:2], batches.Batches(FakeText(), 2), folder)])
    assert sorted(encode_texts(folder, [split])) == ["x" * i for i in range(6, 10)]  # in threads
    publish([folder], [split], {}, skip=False)
    check_published(folder, split)
    assert sorted(os.listdir(folder.path)) == ["train.h5"]


def test_a_damaged_part_is_encoded_again(tmp_path):
    folder = folder_of(tmp_path)
    split = text_split("train", [(1, "a", 0), (2, "b", 1)])
    encode_texts(folder, [split], rows=1)
    part = next(iter(sorted(folder.parts.iterdir())))
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    assert len(encode_texts(folder, [split])) == 1
    publish([folder], [split], {}, skip=False)
    check_published(folder, split)


def test_parts_of_settings_that_nothing_is_published_of_are_swept_away(tmp_path):
    folder, given_up, older = folder_of(tmp_path), folder_of(tmp_path, max_tokens=64), folder_of(tmp_path, weights="v")
    splits = [text_split("train", [(1, "a", 0), (2, "b", 1)]), text_split("dev", [(3, "c", 0), (4, "d", 0)])]
    for other in (given_up, older):
        encode_texts(other, splits)
    publish([older], splits[1:], {}, skip=False)  # train's parts are yet to be published
    encode_texts(folder, splits[:1])
    publish([folder], splits[:1], {}, skip=False)
    assert [path.name for path in (folder.path / ".parts").iterdir()] == [older.parts.name]
    assert encode_texts(older, splits) == []


def test_hidden_files_of_other_systems_are_no_features(tmp_path, capsys):
    folder, split = folder_of(tmp_path), text_split("train", [(1, "a", 0), (2, "b", 1)])
    folder.parts.mkdir(parents=True)
    strangers = [folder.path / "._train.h5", folder.parts / "._part.h5"]  # as macOS leaves on network shares
    for stranger in strangers:
        stranger.write_bytes(b"Mac OS X")
    encode_texts(folder, [split])
    publish([folder], [split], {}, skip=False)
    check_published(folder, split)
    assert all(stranger.exists() for stranger in strangers)
    inspect.main([str(tmp_path)])
    assert "._" not in capsys.readouterr().out


class Constant(FakeText):
    """A broken encoder."""

    def encode(self, batch):
        return torch.ones_like(super().encode(batch))


def test_different_contents_with_one_vector_are_refused(tmp_path):
    folder = folder_of(tmp_path)
    splits = [text_split("train", [(1, "a", 0), (2, "b", 1), (3, "b", 0)]), text_split("dev", [(4, "a", 0)])]
    encode_texts(folder, splits, encoder=Constant())
    publish([folder], splits[1:], {}, skip=False)  # of one content nothing can be said
    with pytest.raises(Failed) as failure:
        publish([folder], splits, {}, skip=False)
    assert str(failure.value) == (
        f"{folder.published('train')}: all 2 different texts have one and the same vector, so that text-encoder's "
        "weights or settings cannot be right; nothing of it was published. Mend them, or name another encoder"
    )
    assert not folder.published("train").exists()


def test_a_correct_label_costs_no_encoding(tmp_path):
    folder = folder_of(tmp_path)
    for label in (0, 1):
        split = text_split("train", [(1, "a", label)])
        encoded = encode_texts(folder, [split])
        publish([folder], [split], {}, skip=False)
        check_published(folder, split)
    assert encoded == []


def test_a_second_extraction_on_the_same_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    refusal = pytest.raises(Refused, match=rf"another extraction \(process {os.getpid()}\) is writing to ")
    with folder.locked(), refusal, folder.locked():
        pass
    with folder.locked():
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_not_taken_for_another_extraction(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    folder = folder_of(tmp_path)
    refusal = pytest.raises(
        Refused,
        match=rf"{folder.path} cannot be locked: {os.strerror(number)}; name a folder on another file system",
    )
    with refusal, folder.locked():
        pass


def test_a_folder_that_cannot_be_written_is_refused():
    nowhere = folder_of(Path("/proc/none"))  # where not even root can make a folder
    with pytest.raises(Refused, match=r"^/proc/none/text-encoder cannot be written: .*--features$"), nowhere.locked():
        pass


def test_another_dataset_in_the_same_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path)
    mine, other = text_split("train", [(1, "a", 0)]), text_split("train", [(2, "b", 0)])
    encode_texts(folder, [mine])
    publish([folder], [mine], {}, skip=False)
    with pytest.raises(Refused, match=r"train\.h5: another dataset, none of its 1 memes is among these\. Name another"):
        refuse_other_dataset(folder, [other])
    refuse_other_dataset(folder, [mine, other])


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


def picture(number):
    image = Image.new("RGB", (20 + number, 30), ((number * 37) % 256, (number * 91) % 256, number % 256))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def image_split(folder, name, contents):
    """contents: image file bytes, one for each meme."""
    memes, digests = [], []
    for number, data in enumerate(contents):
        path = folder / f"{name}-{number}.png"
        path.write_bytes(data)
        memes.append(Meme(f"{name}-{number}", f"text {number}", path, number % 2))
        digests.append(hashlib.sha256(data).hexdigest())
    return HashedSplit(name, memes, {"text": [meme.text_content for meme in memes], "image": digests}, [])


def encode_images(folder, splits, rows=4, batch_size=3, encoder=None):
    held = Held.scan(folder)
    items = [Item(c, m.image) for split in splits for m, c in zip(split.memes, split.content["image"], strict=True)]
    parts = cut(unique(items, held), rows)
    bad = engine.write_parts([(parts, batches.Batches(encoder or FakeImage(), batch_size), folder)])
    return {image.content: image.reason for image in bad}


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


def test_bad_images_stop_only_their_split_after_all_else_is_kept(tmp_path):
    good = image_split(tmp_path, "dev", [picture(i) for i in range(3)])
    half = image_split(tmp_path, "train", [picture(5), picture(6)[:60], b"", picture(7)])
    folders = [folder_of(tmp_path, "image"), folder_of(tmp_path, "text")]
    splits = [half, good]
    bad = encode_images(folders[0], splits)
    encode_texts(folders[1], splits)
    with pytest.raises(Failed) as caught:
        publish(folders, splits, bad, skip=False)
    message = str(caught.value)
    path = folders[0].published("train")
    assert message.startswith(f"2 of 7 images cannot be decoded; {path} was not written.\n  train-1  ")
    assert f"train-2  {half.memes[2].image}  0 bytes: empty file" in message
    assert caught.value.status == 1
    assert not path.exists()
    assert len(store.read(folders[0].published("dev"))) == 3
    # mended: only the two are encoded
    mended = image_split(tmp_path, "train", [picture(5), picture(16), picture(17), picture(7)])
    encoder = FakeImage()
    assert encode_images(folders[0], [mended, good], encoder=encoder) == {}
    assert len(encoder.batches) == 1
    publish(folders, [mended, good], {}, skip=False)
    assert len(store.read(path)) == 4


def test_bad_images_too_many_for_a_message_are_all_in_a_file_until_they_are_mended(tmp_path):
    bad_ones = image_split(tmp_path, "train", [picture(0), *(bytes([number]) for number in range(25))])
    folder, listed = folder_of(tmp_path / "features", "image"), tmp_path / "features/to_mend.txt"
    with pytest.raises(
        Failed, match=rf"  \.\.\. and 5 more\n  all 25 are listed in {listed}\nEverything else is"
    ) as caught:
        publish([folder], [bad_ones], encode_images(folder, [bad_ones]), skip=False)
    lines = listed.read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"train-{number}" for number in range(1, 26)]
    assert all(f"  {line}\n" in str(caught.value) for line in lines[:20])
    mended = image_split(tmp_path, "train", [picture(number) for number in range(26)])
    publish([folder], [mended], encode_images(folder, [mended]), skip=False)
    assert not listed.exists()


def test_skipping_leaves_out_both_sides_of_a_meme_and_lists_it(tmp_path, monkeypatch):
    split = image_split(tmp_path, "train", [picture(1), b"", picture(2)])
    folders = [folder_of(tmp_path, "image"), folder_of(tmp_path, "text")]
    bad = encode_images(folders[0], [split])
    encode_texts(folders[1], [split])
    told: list[str] = []
    monkeypatch.setattr("extract.publish.say", told.append)
    publish(folders, [split], bad, skip=True)
    listed_in = "2 memes, 1 left out and listed in train.dropped.txt, written"
    assert told == [f"{folder.published('train')}: {listed_in}" for folder in folders]
    for folder in folders:
        features = store.read(folder.published("train"))
        assert features.ids.tolist() == ["train-0", "train-2"]
        assert features.dropped == [{"id": "train-1", "reason": f"{split.memes[1].image}  0 bytes: empty file"}]
        listed = (folder.path / "train.dropped.txt").read_text()
        assert listed == f"train-1\t{split.memes[1].image}  0 bytes: empty file\n"


def test_an_image_that_goes_while_the_run_is_on_is_named(tmp_path):
    split = image_split(tmp_path, "train", [picture(1), picture(2)])
    folder = folder_of(tmp_path, "image")
    gone = split.memes[1].image
    gone.unlink()
    with pytest.raises(Failed, match=rf"train-1  {gone}: cannot be read: No such file or directory\n"):
        publish([folder], [split], encode_images(folder, [split]), skip=False)


def test_nothing_usable_is_an_error_not_an_empty_file(tmp_path):
    split = image_split(tmp_path, "train", [b"", b"x"])
    folder = folder_of(tmp_path, "image")
    bad = encode_images(folder, [split])
    with pytest.raises(Failed, match="no meme of train can be used, all 2 are left out"):
        publish([folder], [split], bad, skip=True)


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


@pytest.mark.parametrize(
    ("kind", "device", "dim", "batch_size", "rows"),
    [
        ("image", "cpu", 2048, 8, 256),
        ("image", "cpu", 49 * 2048, 8, 256),
        ("image", "cpu", 49 * 2048, 100, 200),  # whole batches: a short one costs as much as a full one
        ("image", "cuda", 49 * 2048, 256, 1280),  # not 1,337, and more than one batch
        ("image", "cuda", 49 * 2048, 1400, 1400),  # a batch is held in memory anyway
        ("text", "cuda", 768, 256, 32768),
        ("text", "cuda", 8192, 256, 16384),
    ],
)
def test_a_parts_vectors_stay_small_in_memory(kind, device, dim, batch_size, rows):
    assert engine.part_rows(kind, device, dim, batch_size) == rows


def test_vectors_are_read_some_at_a_time_whatever_their_length(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 3 * 8 * 4)  # bytes of three vectors
    folder = folder_of(tmp_path)
    split = text_split("train", [(number, "x" * number, 0) for number in range(10)])
    encode_texts(folder, [split], rows=10)
    publish([folder], [split], {}, skip=False)
    store.verify(folder.published("train"))
    check_published(folder, split)
    assert [(start, len(vectors)) for start, vectors in store.chunks(folder.published("train"))] == [
        (0, 3), (3, 3), (6, 3), (9, 1),
    ]  # fmt: skip


def test_plan_keeps_the_first_of_equal_contents_in_order():
    items = [Item("b", "1"), Item("a", "2"), Item("b", "3"), Item("c", "4")]
    assert unique(items, {"c"}) == [items[0], items[1]]
    lengths = [Item("b", "é"), Item("d", "1"), Item("a", "22"), Item("c", "")]
    assert [item.content for item in by_length(lengths)] == ["c", "d", "a", "b"]  # bytes, then contents
    assert cut(items, 3) == [Part(tuple(items[:3])), Part(tuple(items[3:]))]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=4))
def test_what_several_encoders_lack_is_taken_in_an_order_that_suits_all(lacking):
    plan = [Item(str(number), "") for number in random.Random(1).sample(range(31), 31)]
    lists = [[item for item in plan if int(item.content) in lacks] for lacks in lacking]
    order = merged(lists)
    assert len(order) == len(set(order)) == len(set().union(*lacking))
    assert all([item for item in order if item in set(mine)] == mine for mine in lists)


def test_other_columns_lie_beside_a_file_whose_bytes_they_do_not_change(tmp_path):
    folder, split = folder_of(tmp_path), text_split("train", [("1", "a", 0), ("2", "b", 1)])
    encode_texts(folder, [split])
    publish([folder], [split], {}, skip=False)
    path, plain = folder.published("train"), folder.published("train").read_bytes()
    assert store.columns(path) == {}
    assert not store.columns_path(path).exists()
    rich = [replace(split.memes[0], columns={"source": "web", "half": "\ud800"}), split.memes[1]]
    publish([folder], [replace(split, memes=rich)], {}, skip=False)
    assert store.columns(path) == {"1": {"source": "web", "half": "\ud800"}}
    assert path.read_bytes() == plain
    publish([folder], [split], {}, skip=False)
    assert not store.columns_path(path).exists()
