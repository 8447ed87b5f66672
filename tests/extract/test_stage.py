"""Stage 1's steps, where the tests of the whole do not reach."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_encoders import FakeImage
from PIL import Image

from extract import places, stage
from extract.config import ExtractConfig
from extract.errors import Failed
from extract.parts import Folder, Held
from extract.plan import Item


def test_images_that_wait_to_be_read_are_dropped_when_reading_stops(monkeypatch):
    started, go_on = [], threading.Event()

    def digest(source):
        started.append(source)
        if source.name != "0":
            go_on.wait(60)
        return source.name

    monkeypatch.setattr(places, "digest", digest)
    monkeypatch.setattr(stage, "cores", lambda: 2)
    digests = stage._image_digests([Path(str(number)) for number in range(500)], ExtractConfig(quiet=True))
    assert next(digests) == "0"
    threading.Timer(1, go_on.set).start()  # so that waiting for what is queued would end, too
    digests.close()
    go_on.set()
    assert len(started) <= 4  # at work in two threads; 128 were queued


class Small(FakeImage):
    """An encoder on a GPU that holds so many images."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def encode(self, pixels):
        if len(pixels) > self.room:
            raise torch.OutOfMemoryError
        return super().encode(pixels)


def on_a_gpu_with_room(room, tmp_path, monkeypatch):
    """Encode 20 images, in batches of 8 if there is room. Returns the encoder, what is held then, and what must be."""
    monkeypatch.setattr(stage, "load", lambda *_: gpu)
    items = []
    for number in range(20):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
        items.append(Item(places.digest(path), path))
    folder, gpu = Folder(tmp_path / "image", "image", {}, {"torch": "2"}), Small(room)
    encoder = stage.Encoder(SimpleNamespace(kind="image", slug="fake"), folder, "cpu", "float32")
    stage.LocalEngine().encode(encoder, items, "fake", ExtractConfig(batch_size=8, quiet=True))
    return gpu, set(Held.scan(folder).where), {item.content for item in items}


def test_batches_are_halved_until_memory_holds_them(tmp_path, monkeypatch, capsys):
    gpu, held, wanted = on_a_gpu_with_room(2, tmp_path, monkeypatch)
    assert (gpu.batches, held) == ([2] * 10, wanted)
    told = [line for line in capsys.readouterr().err.splitlines() if "memory" in line]
    assert told == [f"fake: GPU memory is full; going on with batch size {size}" for size in (4, 2)]


def test_memory_that_holds_no_image_is_said(tmp_path, monkeypatch):
    with pytest.raises(Failed, match=r"^fake: the GPU's memory does not hold one image$"):
        on_a_gpu_with_room(0, tmp_path, monkeypatch)
