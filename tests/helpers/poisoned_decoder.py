"""A decoder that dies of one image's bytes, and of nothing else; image files for it. A plugin for pytest."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extract import images
from extract.encoders import reading
from extract.encoders.reading import BadImage
from extract.plan import Item
from extract.ray_engine import decoder

LETHAL = b"kills whoever decodes it"
# a decoder that dies of one image's bytes, and of nothing else
POISONABLE = f"""
import os, signal
from extract.encoders import reading
from extract.ray_engine import decoder
def pixels(item, data, prepare, sound=reading.pixels):
    if data == {LETHAL!r}:
        os.kill(os.getpid(), signal.SIGSEGV)
    return sound(item, data, prepare)
reading.pixels = pixels
decoder.main()
"""
CHILD = ("-c", POISONABLE)


def item(path: Path, data: bytes | None = None) -> Item:
    """An image file as the plan has it; drawn, unless it is to hold something else."""
    if data is None:
        Image.new("RGB", (9, 5), (len(path.name), 7, 30)).save(path)
    else:
        path.write_bytes(data)
    return Item(hashlib.sha256(path.read_bytes()).hexdigest(), path)


@pytest.fixture(scope="module")
def child():
    """One child process for all tests; a dead one is replaced."""
    made = decoder.Decoder(CHILD)
    yield made
    made.close()


@pytest.fixture(scope="module")
def no_child_is_left(child):
    """Those that `workers.decode` starts live as long as their process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "of_this_process", lambda asked: child if asked == CHILD else decoder.Decoder(asked))
        yield


def check(child, items):
    """Each answer is this process's own; those of lethal images are given."""
    answers = list(child.decode(items, images.decode_each))
    assert len(answers) == len(items)
    for each, answer in zip(items, answers, strict=True):
        if Path(each.source).exists() and Path(each.source).read_bytes() == LETHAL:
            assert answer == BadImage(each.content, "it kills its decoder (signal SIGSEGV)")
        elif isinstance(answer, BadImage):
            assert answer == reading.decode(each, images.decode_each)
        else:
            np.testing.assert_array_equal(answer, reading.decode(each, images.decode_each))
