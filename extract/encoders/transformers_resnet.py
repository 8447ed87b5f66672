"""A ResNet in transformers' folder format -> a state dict with torchvision's names, and how it is set up."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from extract.encoders.weights import read_json

Weights = TypeVar("Weights")
PARTS = {"convolution": "conv", "normalization": "bn"}
STEM = re.compile(r"embedder\.embedder\.(convolution|normalization)\.(.+)")
SHORTCUT = re.compile(r"encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.(convolution|normalization)\.(.+)")
LAYER = re.compile(r"encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.(convolution|normalization)\.(.+)")
# What torchvision's ResNets have fixed, and transformers' defaults for it.
EXPECTED = {"num_channels": 3, "hidden_act": "relu", "downsample_in_first_stage": False}


def convert(state: Mapping[str, Weights]) -> dict[str, Weights]:
    """Rename the tensors of a ResNetModel; a classifier on top is left out."""
    renamed = {}
    for name, tensor in state.items():
        if not name.startswith("classifier."):
            renamed[_rename(name.removeprefix("resnet."))] = tensor
    return renamed


def recipe(folder: Path) -> dict[str, Any]:
    """The folder's settings in the terms of encoder.json. Raises ValueError if torchvision has no such ResNet."""
    config = read_json(folder / "config.json")
    for key, expected in EXPECTED.items():
        if config.get(key, expected) != expected:
            raise ValueError(f"{key} is {config[key]!r}, expected {expected!r}")
    found: dict[str, Any] = {"stride_on": "conv1" if config.get("downsample_in_bottleneck") else "conv2"}
    processor = read_json(folder / "preprocessor_config.json")
    if processor.get("image_mean") and processor.get("image_std"):
        found["normalisation"] = {"mean": processor["image_mean"], "deviation": processor["image_std"]}
    return found


def _rename(name: str) -> str:
    if match := STEM.fullmatch(name):
        part, tensor = match.groups()
        return f"{PARTS[part]}1.{tensor}"
    if match := SHORTCUT.fullmatch(name):
        stage, block, part, tensor = match.groups()
        return f"layer{int(stage) + 1}.{block}.downsample.{list(PARTS).index(part)}.{tensor}"
    if match := LAYER.fullmatch(name):
        stage, block, number, part, tensor = match.groups()
        return f"layer{int(stage) + 1}.{block}.{PARTS[part]}{int(number) + 1}.{tensor}"
    return name
