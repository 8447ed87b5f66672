"""The steps of an extraction, one by one, on texts and images made up for a test."""

import hashlib
import io
from pathlib import Path

import numpy as np
from fake_encoders import FakeImage, FakeText, text_vector
from PIL import Image

from extract import engine, store
from extract.dataset import HashedSplit, Meme
from extract.encoders import batches
from extract.parts import Folder, Held
from extract.plan import Item, by_length, cut, unique

SETTINGS = {"weights": "w", "pooling": "cls"}


def folder_of(path, kind="text", **changes):
    return Folder(path / f"{kind}-encoder", kind, SETTINGS | changes, {"torch": "2"})


def text_split(name, rows):
    """rows: (id, text, label)."""
    memes = [Meme(str(key), text, Path(), label) for key, text, label in rows]
    return HashedSplit(name, memes, {"text": [meme.text_content for meme in memes]}, [])


def encode_texts(folder, splits, rows=3, encoder=None):
    """The text side of an extraction, with parts of `rows`. Returns the texts that were encoded."""
    encoder = encoder or FakeText()
    held = Held.scan(folder)
    items = [Item(meme.text_content, meme.text) for split in splits for meme in split.memes]
    left = by_length(unique(items, held))
    engine.write_parts([(cut(left, rows), batches.Batches(encoder, 2), folder)])
    return ["".join(map(chr, ids[1:-1])) for ids in encoder.encoded]


def check_published(folder, split):
    """Every row's vector is that of its own text."""
    features = store.read(folder.published(split.name))
    tokens = FakeText().prepare([meme.text for meme in split.memes])
    np.testing.assert_array_equal(features.vector, np.stack([text_vector(ids, 8) for ids in tokens]))
    assert features.ids.tolist() == [meme.id for meme in split.memes]
    assert features.label.tolist() == [meme.label for meme in split.memes]
    assert features.tokens is not None
    assert features.tokens.tolist() == [len(ids) for ids in tokens]


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
