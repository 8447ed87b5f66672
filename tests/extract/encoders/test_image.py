"""What every family of image encoders does with pixels that it is given."""

from pathlib import Path

import numpy as np
import torch
from tiny_encoders import images, load, resnet, resnet_folder


def test_a_resnet_takes_a_buffer_as_it_is(tmp_path, monkeypatch):
    encoder = load("image", resnet_folder(tmp_path / "net", resnet()))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    expected, given = encoder.encode(list(pixels)), []
    run = encoder._run
    monkeypatch.setattr(encoder, "_run", lambda batch: given.append(batch.data_ptr()) or run(batch))
    assert torch.equal(encoder.encode(pixels), expected)
    assert given == [pixels.ctypes.data]


def test_memory_layout_changes_nothing(tmp_path: Path) -> None:
    encoder = load("image", resnet_folder(tmp_path / "net", resnet()))
    rows_of_pixels = images(2).permute(0, 2, 3, 1).contiguous()  # as a decoder gives them
    assert torch.equal(encoder.vectors(rows_of_pixels.permute(0, 3, 1, 2)), encoder.vectors(images(2)))
