"""An image model of transformers from its folder: whole, trained and finite."""

from functools import partial
from pathlib import Path

import pytest
import tiny_encoders
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import vision_folder, without

from extract.errors import Refused

load = partial(tiny_encoders.load, "image")


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = without(vision_folder(tmp_path / "dinov2", "dinov2")[0], "encoder.layer.1.mlp")
    with pytest.raises(Refused, match=r"4 tensors are missing in .*, first: encoder\.layer\.1\.mlp\.fc1\.bias"):
        load(folder)
    clip = without(vision_folder(tmp_path / "clip", "clip")[0], "visual_projection")
    assert load(clip).dim == 32
    with pytest.raises(Refused, match=r"1 tensors are missing in .*, first: visual_projection\.weight"):
        load(clip, "projected")
    vit = without(vision_folder(tmp_path / "vit", "vit")[0], "pooler")
    with pytest.raises(Refused, match=r"vit has no trained pooler\. Take .*vit:cls or .*vit:mean"):
        load(vit)
    assert load(vit, "cls").dim == 32


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    folder, _ = vision_folder(tmp_path / "vit", "vit")
    state = load_file(folder / "model.safetensors")
    state["layernorm.bias"][3] = torch.nan
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Refused, match=r"1 of \d+ tensors hold NaN or an infinite value, first: layernorm\.bias"):
        load(folder, "cls")
