"""Contents through an encoder: what a batch does not change, short batches, images that cannot be had."""

import hashlib
import io
import os
import random
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_encoders import FakeImage, FakeText
from PIL import Image
from tiny_encoders import resnet, resnet_folder, text_folder

from experiments.scoring.vectors import VectorSource, image_item, text_item
from extract import encoders, engine, images, store
from extract.config import ExtractConfig
from extract.encoders import batches as room
from extract.encoders import catalogue
from extract.encoders.batches import Batches
from extract.errors import Failed
from extract.parts import Folder
from extract.plan import Item, cut
from extract.store import EncoderIdentity

# the same bits in every company


def picture(number: int) -> bytes:
    noise = np.random.default_rng(number).integers(0, 256, (30, 40 + number, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def items_of(kind: str, count: int = 13) -> list[Item]:
    """Texts of several lengths, or images."""
    if kind == "text":
        return [text_item("no word is so " * (number % 5) + str(number)) for number in range(count)]
    return [image_item(picture(number)) for number in range(count)]


def by_content(items: list[Item], groups: list[room.Group]) -> dict[str, bytes]:
    """Each content's vector, bit for bit. groups: of one item after the other."""
    vectors = [vector.tobytes() for group in groups for vector in group.vectors]
    return dict(zip([item.content for item in items], vectors, strict=True))


def check_company(tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """extract's parts, a scorer's source and the engine itself give a content the same bits."""
    monkeypatch.setenv("MEMEFUSE_CACHE", os.environ.get("MEMEFUSE_CACHE") or str(tmp_path / "cache"))
    located = catalogue.locate(kind, name)
    settings = encoders.settings(located, dtype="float32", max_tokens=32)
    folder = Folder(tmp_path / located.slug, kind, settings, {"torch": "2"})
    items = items_of(kind)

    def batches() -> Batches:
        loaded = encoders.load(located, device="cpu", dtype="float32", max_tokens=32)
        return Batches(loaded, room.BATCH_SIZE["cpu"])

    job = engine.EncoderJob(located, folder, "cpu", "float32")
    config = ExtractConfig(max_tokens=32, quiet=True)
    assert engine.LocalEngine().encode([engine.EncoderTask(job, items, "")], config) == {}
    extracted = {}
    for path in folder.parts.glob("*.h5"):
        features = store.read(path)
        extracted |= dict(zip(features.ids.tolist(), [vector.tobytes() for vector in features.vector], strict=True))
    assert extracted.keys() == {item.content for item in items}

    ready = batches()
    assert by_content(items, list(ready.encode([items]))) == extracted
    assert by_content(items, list(ready.encode([[item] for item in items]))) == extracted  # each alone
    mixed = random.Random(0).sample(items, len(items))
    assert by_content(mixed, list(ready.encode([mixed[:5], mixed[5:]]))) == extracted
    fewer = items[:3]
    assert by_content(fewer, list(batches().encode([fewer]))).items() <= extracted.items()

    identity = EncoderIdentity(kind, located.slug, ready.encoder.dim, folder.fingerprint, settings, {})
    source = VectorSource(identity, "cpu", name)
    for some in (items[4:5], mixed):
        vectors, bad = source.vectors(some, lambda count: None)
        assert not bad
        assert [vector.tobytes() for vector in vectors] == [extracted[item.content] for item in some]


@pytest.mark.parametrize("kind", ["text", "image"])
def test_extract_scorer_and_systems_get_the_same_bits(tmp_path, monkeypatch, kind):
    if kind == "text":
        check_company(tmp_path, kind, f"{text_folder(tmp_path / 'bert')}:mean", monkeypatch)
    else:
        check_company(tmp_path, kind, str(resnet_folder(tmp_path / "net", resnet())), monkeypatch)


@pytest.mark.weights
@pytest.mark.parametrize(("kind", "name"), [("text", "all-MiniLM-L6-v2"), ("image", "resnet50-keras")])
def test_with_real_weights_too(tmp_path, monkeypatch, kind, name):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(catalogue.packages.cache_root()))
    check_company(tmp_path, kind, name, monkeypatch)


# short batches


class Kernels(FakeImage):
    """An encoder of which it is not known whether its bits depend on the batch's size."""

    row_by_row = None

    def __init__(self, depends: bool, weights: str = "w") -> None:
        super().__init__()
        self.dtype, self.depends = torch.float32, depends
        self.located = SimpleNamespace(weights=weights, pooling="pooled", kind="image")

    def encode(self, batch):
        vectors = super().encode(batch)
        return vectors + len(batch) * 2**-18 if self.depends else vectors


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))


def vectors_of(batches: Batches, items: list[Item]) -> list[bytes]:
    (group,) = batches.encode([items])
    return [vector.tobytes() for vector in group.vectors]


@pytest.mark.usefixtures("empty_cache")
def test_where_the_size_of_a_batch_shows_short_ones_are_filled_up():
    items, encoder = items_of("image", 8), Kernels(depends=True)
    batches = Batches(encoder, 8)
    full = vectors_of(batches, items)
    assert encoder.batches == [8]
    assert vectors_of(batches, items[2:3]) == full[2:3]
    assert encoder.batches == [8, 8, 1]  # the one is what was compared
    encoder.batches.clear()
    assert vectors_of(batches, items[:5]) == full[:5]
    assert encoder.batches == [8]


@pytest.mark.usefixtures("empty_cache")
def test_where_it_does_not_a_single_image_is_encoded_once():
    items, encoder = items_of("image", 8), Kernels(depends=False)
    batches = Batches(encoder, 8)
    full = vectors_of(batches, items)
    assert vectors_of(batches, items[:3]) == full[:3]
    encoder.batches.clear()
    assert vectors_of(batches, items[3:4]) == full[3:4]
    assert vectors_of(batches, items[:2]) == full[:2]
    assert encoder.batches == [1, 1, 1]


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("depends", [False, True])
def test_what_was_seen_of_this_processor_is_remembered(depends):
    (item,) = items_of("image", 1)
    vectors_of(Batches(Kernels(depends), 8), [item])
    again, other = Kernels(depends), Kernels(depends, "other weights")
    vectors_of(Batches(again, 8), [item])
    vectors_of(Batches(other, 8), [item])
    assert (again.batches, other.batches) == ([8] if depends else [1], [8, 1])


def test_values_that_are_not_finite_are_refused():
    class Broke(FakeImage):
        def encode(self, batch):
            return super().encode(batch) / 0

    with pytest.raises(Failed, match="gave values that are not finite"):
        list(Batches(Broke(), 2).encode([items_of("image", 3)]))


def test_an_overflow_in_float16_is_refused():
    class OldGpu(FakeImage):
        dtype = torch.float16

        def encode(self, batch):
            return (super().encode(batch).half() * 600).float()  # of means of about 127, beyond 65,504

    with pytest.raises(Failed, match=r"gave values that are not finite; try --dtype float32$"):
        list(Batches(OldGpu(), 2).encode([items_of("image", 3)]))


def test_a_group_s_rows_are_those_that_could_be_encoded():
    items = items_of("image", 5)
    items[1] = image_item(b"no image")
    items[3] = Item("0" * 64, b"other bytes")
    (group,) = Batches(FakeImage(), 2).encode([items])
    assert (group.rows, len(group.vectors)) == ([0, 2, 4], 3)
    assert [(image.content, image.reason) for image in group.bad] == [
        (hashlib.sha256(b"no image").hexdigest(), "not an image of a known format"),
        ("0" * 64, "changed while it was being read"),
    ]


def test_bad_images_leave_no_holes_wherever_they_are():
    for lost in ({0}, {7}, {2, 3}, {0, 1, 2, 3, 4, 5, 6, 7}, {4, 9}, {12}):
        items = [image_item(f"{row}".encode()) if row in lost else item for row, item in enumerate(items_of("image"))]
        (group,) = Batches(FakeImage(), 8).encode([items])
        good = [row for row in range(13) if row not in lost]
        (whole,) = Batches(FakeImage(), 8).encode([items_of("image")])
        assert (group.rows, group.vectors.tobytes()) == (good, whole.vectors[good].tobytes())
        assert [bad.content for bad in group.bad] == [items[row].content for row in sorted(lost)]


def test_images_are_decoded_into_a_few_buffers_and_not_stacked(monkeypatch):
    """No batch is put together by copying: what the encoder is given is the memory that threads decode into."""
    seen: dict[int, int] = {}
    encoder = FakeImage()

    def encode(batch):
        assert isinstance(batch, np.ndarray)
        assert batch.flags.c_contiguous
        seen[batch.__array_interface__["data"][0]] = len(seen)
        return torch.from_numpy(batch[:, 0, 0, :]).float().repeat(1, 2)

    encoder.encode = encode
    monkeypatch.setattr(np, "stack", None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    batches, items = Batches(encoder, 2), items_of("image", 60)
    (group,) = batches.encode([items])
    first = [images.decode(item.source)[0, 0].tolist() * 2 for item in items]
    assert group.vectors.tolist() == first
    ahead = max(2 * 2, 2 * room.cores()) // 2 + 1
    assert len(seen) <= ahead + room.IN_HAND < 30
    used = set(seen)
    assert [group.rows for group in batches.encode([items])] == [group.rows]
    assert set(seen) == used  # the next contents go the same way


def test_images_of_several_encoders_are_encoded_side_by_side():
    """Whatever each lacks, and however its parts are cut; no encoder is further ahead than its batch."""
    items = items_of("image", 12)
    every, odd, few = items, items[1::2], items[8:10]
    groups = [[every[:5], every[5:]], [odd], [few[:1], few[1:]]]
    order = []

    class Noting(FakeImage):
        def encode(self, batch):
            order.append(self)
            return super().encode(batch)

    made = [Noting() for _ in groups]
    work = [(Batches(encoder, 2), of_encoder) for encoder, of_encoder in zip(made, groups, strict=True)]
    ended: list[list[room.Group]] = [[], [], []]
    for number, group in room.side_by_side(work):
        ended[number].append(group())
    for of_encoder, mine in zip(groups, ended, strict=True):
        alone = list(Batches(FakeImage(), 2).encode(of_encoder))
        assert [group.vectors.tobytes() for group in mine] == [group.vectors.tobytes() for group in alone]
    assert [len(encoder.batches) for encoder in made] == [3 + 4, 3, 2]
    turns = [made.index(encoder) for encoder in order]
    assert turns != sorted(turns)


def test_texts_become_word_pieces_one_group_ahead_of_the_encoder(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one batch after another
    encoder, events = FakeText(), []
    prepare, encode = encoder.prepare, encoder.encode
    asked = [threading.Event() for _ in range(4)]

    def noting(texts):
        number = int(texts[0][0])
        events.append(f"tokenise {number}")
        asked[number].set()
        return prepare(texts)

    def waiting(batch):
        number = int(chr(batch[0][1]))
        assert asked[min(number + 1, 3)].wait(5)  # the next group is at hand while this one is encoded
        events.append(f"encode {number}")
        return encode(batch)

    encoder.prepare, encoder.encode = noting, waiting
    groups = [[text_item(f"{number}{letter}") for letter in "abc"] for number in range(4)]
    for number, group in enumerate(Batches(encoder, 8).encode(groups)):
        assert group.tokens.tolist() == [4, 4, 4]
        assert f"tokenise {number + 2}" not in events  # and no more than that one
    assert [event for event in events if event.startswith("encode")] == [f"encode {number}" for number in range(4)]


def test_texts_of_one_length_share_a_batch(tmp_path):
    encoder, seen = FakeText(), []
    sound = encoder.encode
    encoder.encode = lambda batch: (seen.append(len(batch)), sound(batch))[1]
    items = [text_item("x" * length) for length in (1, 9, 2, 10, 3, 4, 5)]
    folder = Folder(tmp_path, "text", {}, {"torch": "2"})
    assert engine.write_parts([(cut(items, 99), Batches(encoder, 1), folder)]) == []
    assert sorted(seen) == [1, 1, 1, 2, 2]  # 16 word pieces: two short texts or one long one


@pytest.mark.parametrize(("count", "sizes"), [(12, [12]), (3, [8])])
def test_a_batch_is_not_filled_up_beyond_what_there_is_to_encode(count, sizes):
    encoder = FakeImage()
    (group,) = Batches(encoder, 1_000_000).encode([items_of("image", count)])
    assert (len(group.vectors), encoder.batches) == (count, sizes)
