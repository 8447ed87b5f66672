"""What image processors' files want done to pixels."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
from PIL import Image
from tiny_encoders import vision_folder

from extract.encoders import catalogue, vision_formats
from extract.errors import Refused
from extract.images import Squeeze

load = partial(tiny_encoders.load, "image")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"crop_size": {"height": 0, "width": 32}}, "whose size is {'height': 0, 'width': 32}, expected 1 to 4,096"),
        ({"resample": "bicubic"}, "whose resample is 'bicubic', expected one of Pillow's numbers, 0 to 5"),
        ({"image_std": [0.5, 0.0, 0.5]}, "image_std [0.5, 0.0, 0.5], expected three numbers each, deviations above 0"),
        ({"image_mean": None}, "whose image_mean is None and image_std"),
        ({"do_rescale": False}, "whose do_rescale is False, expected true"),
    ],
)
def test_a_processor_that_cannot_be_followed_is_refused(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    folder, _ = vision_folder(tmp_path / "vit", "vit", **said)
    with pytest.raises(Refused) as refused:
        catalogue.locate("image", str(folder))
    assert message in str(refused.value)


def test_a_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    folder, _ = vision_folder(tmp_path / "vit", "vit")
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(Refused, match=r"has no preprocessor_config\.json that says how its images"):
        catalogue.locate("image", str(folder))
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": said}))
    assert load(folder, "cls").dim == 32


@pytest.mark.parametrize(
    ("said", "squeeze"),
    [
        ({"size": 24, "crop_size": None, "resample": 2}, Squeeze(24, 24)),  # as of old
        ({"size": {"height": 20, "width": 24}, "do_center_crop": False}, Squeeze(24, 20, Image.Resampling.BICUBIC)),
        ({"size": {"shortest_edge": 24}, "crop_size": 20}, Squeeze(20, 20, Image.Resampling.BICUBIC)),
    ],
)
def test_sizes_are_said_in_several_ways(tmp_path: Path, said: dict[str, Any], squeeze: Squeeze) -> None:
    folder, _ = vision_folder(tmp_path / "vit", "vit", do_normalize=False, **said)
    ours, normalisation = vision_formats.pixels_of(folder)
    assert ours == squeeze
    assert normalisation.deviation == (255.0, 255.0, 255.0)
