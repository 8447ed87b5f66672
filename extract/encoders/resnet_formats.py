"""The forms in which ResNets come: other libraries' names -> torchvision's, and what a network wants done to pixels.

Keras' ResNet-50, in TensorFlow.js' layers format, holds He et al.'s own weights (https://arxiv.org/abs/1512.03385),
converted from Caffe. They differ from torchvision's model in three things that loading does not show, and that a recipe
(encoder.json) tells the encoder: the stride of a stage stands on its first convolution, batch norm's epsilon is
another, and images go in as BGR, 0..255, with Caffe's means taken off.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np

from extract.encoders.family import Incomplete
from extract.encoders.weights import PROCESSOR, RECIPE, read_json, weights_of
from extract.errors import Refused

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of ImageNet's RGB, on the scale 0..1
# The file gives 1e-3 for epsilon: a slip of its exporter, keras-applications builds with this one.
KERAS_RECIPE = {"normalisation": "caffe", "stride_on": "conv1", "bn_eps": 1.001e-5}
CONVOLUTION_OF_BRANCH = {"2a": "conv1", "2b": "conv2", "2c": "conv3", "1": "downsample.0"}
NORM_TENSORS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
Weights = TypeVar("Weights")
TRANSFORMERS_PARTS = {"convolution": "conv", "normalization": "bn"}
STEM = re.compile(r"embedder\.embedder\.(convolution|normalization)\.(.+)")
SHORTCUT = re.compile(r"encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.(convolution|normalization)\.(.+)")
LAYER = re.compile(r"encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.(convolution|normalization)\.(.+)")
# What torchvision's ResNets have fixed, and transformers' defaults for it.
EXPECTED = {"num_channels": 3, "hidden_act": "relu", "downsample_in_first_stage": False}


def files(folder: Path) -> list[Path]:
    """All files of a ResNet that change a number. Raises Incomplete if they do not make one."""
    config = read_json(folder / "config.json")
    if config and config.get("model_type") != "resnet":
        raise Incomplete(f"holds a model of type {config.get('model_type')!r}, expected a ResNet")
    settings = [folder / name for name in (RECIPE, "config.json", PROCESSOR) if (folder / name).exists()]
    for path in settings:
        read_json(path)
    return [*settings, *weights_of(folder, any_name=not config)]


@dataclass(frozen=True)
class Normalisation:
    """What a network wants done to RGB pixels: the order of channels, then (pixel - mean) / deviation."""

    mean: tuple[float, ...]  # on the scale 0..255, in the network's order of channels
    deviation: tuple[float, ...]
    reverse: bool = False  # BGR

    @classmethod
    def of_unit_scale(cls, mean: Any, deviation: Any) -> "Normalisation":
        """From statistics on the scale 0..1."""
        return cls(tuple(255.0 * value for value in mean), tuple(255.0 * value for value in deviation))


NORMALISATIONS = {
    "imagenet": Normalisation.of_unit_scale(*IMAGENET),
    "caffe": Normalisation((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), reverse=True),
}


def understand(recipe: dict[str, Any]) -> tuple[Normalisation, dict[str, Any]]:
    """encoder.json -> normalisation and the arguments of `resnet_model.build`; torchvision's where it says nothing.

    {"normalisation": "imagenet" | "caffe" | {"mean": [3 numbers], "deviation": [3 numbers]} on the scale 0..1,
     "stride_on": "conv1" | "conv2", "bn_eps": number}
    """
    if unknown := recipe.keys() - {"normalisation", "stride_on", "bn_eps"}:
        raise ValueError(f"{RECIPE} has unknown keys: {', '.join(sorted(unknown))}")
    layout = {key: value for key, value in recipe.items() if key != "normalisation"}
    if layout.get("stride_on", "conv1") not in ("conv1", "conv2"):
        raise ValueError(f"stride_on is {layout['stride_on']!r}, expected 'conv1' or 'conv2'")
    if not (isinstance(layout.get("bn_eps", 1e-5), float) and 0 <= layout.get("bn_eps", 1e-5) < math.inf):
        raise ValueError(f"bn_eps is {layout['bn_eps']!r}, expected a small number, as 1e-5")
    named = recipe.get("normalisation", "imagenet")
    if isinstance(named, dict):
        mean, deviation = named.get("mean", ()), named.get("deviation", ())
        if not three_numbers(mean) or not three_numbers(deviation) or min(deviation) <= 0:
            raise ValueError(
                f"normalisation is {named}, expected a mean and a deviation of three numbers each, deviations above 0"
            )
        return Normalisation.of_unit_scale(mean, deviation), layout
    if named not in list(NORMALISATIONS):  # a list: what is named may have no hash
        raise ValueError(
            f"normalisation is {named!r}, expected one of {', '.join(NORMALISATIONS)} or mean and deviation"
        )
    return NORMALISATIONS[named], layout


def three_numbers(values: Any) -> TypeGuard[list[float]]:
    """Whether these are three finite numbers in a list."""
    if not isinstance(values, list) or len(values) != 3:
        return False
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def from_transformers(state: Mapping[str, Weights]) -> dict[str, Weights]:
    """Rename the tensors of a ResNetModel; a classifier on top is left out."""
    renamed = {}
    for name, tensor in state.items():
        if not name.startswith("classifier."):
            renamed[_transformers_name(name.removeprefix("resnet."))] = tensor
    return renamed


def transformers_recipe(folder: Path) -> dict[str, Any]:
    """The folder's settings in the terms of encoder.json. Raises ValueError if torchvision has no such ResNet."""
    config = read_json(folder / "config.json")
    for key, expected in EXPECTED.items():
        if config.get(key, expected) != expected:
            raise ValueError(f"{key} is {config[key]!r}, expected {expected!r}")
    recipe: dict[str, Any] = {"stride_on": "conv1" if config.get("downsample_in_bottleneck") else "conv2"}
    processor = read_json(folder / PROCESSOR)
    if processor.get("do_rescale", True) is not True:
        raise ValueError(f"do_rescale in {PROCESSOR} is {processor['do_rescale']!r}, expected true")
    if processor.get("do_normalize") is False:
        recipe["normalisation"] = {"mean": [0.0, 0.0, 0.0], "deviation": [1.0, 1.0, 1.0]}
    elif processor.get("image_mean") and processor.get("image_std"):
        recipe["normalisation"] = {"mean": processor["image_mean"], "deviation": processor["image_std"]}
    return recipe


def _transformers_name(name: str) -> str:
    if match := STEM.fullmatch(name):
        part, tensor = match.groups()
        return f"{TRANSFORMERS_PARTS[part]}1.{tensor}"
    if match := SHORTCUT.fullmatch(name):
        stage, block, part, tensor = match.groups()
        return f"layer{int(stage) + 1}.{block}.downsample.{list(TRANSFORMERS_PARTS).index(part)}.{tensor}"
    if match := LAYER.fullmatch(name):
        stage, block, number, part, tensor = match.groups()
        return f"layer{int(stage) + 1}.{block}.{TRANSFORMERS_PARTS[part]}{int(number) + 1}.{tensor}"
    return name


def from_keras(folder: Path) -> dict[str, np.ndarray]:
    """Read model.json and its shards; returns float32 tensors by torchvision's names, the classifier included.

    Raises Refused if the files are not this model's.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in _keras_tensors(folder).items():
        layer, _, part = name.rpartition("/")
        layers.setdefault(layer.rpartition("/")[2], {})[part] = tensor
    state: dict[str, np.ndarray] = {}
    for layer, parts in layers.items():
        if layer == "fc1000":
            state["fc.weight"], state["fc.bias"] = parts["kernel"].T, parts["bias"]
        elif "kernel" in parts:
            state[f"{_keras_convolution(layer)}.weight"] = parts["kernel"].transpose(3, 2, 0, 1)  # HWIO to OIHW
        else:
            norm = _norm_beside(_keras_convolution(re.sub("^bn_?", "", layer)))
            state |= {f"{norm}.{NORM_TENSORS[part]}": tensor for part, tensor in parts.items()}
    for layer, parts in layers.items():
        if layer != "fc1000" and "bias" in parts:
            # norm(x + bias) with mean m is norm(x) with mean m - bias
            mean = f"{_norm_beside(_keras_convolution(layer))}.running_mean"
            state[mean] = state[mean] - parts["bias"]
    return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in state.items()}


def _keras_tensors(folder: Path) -> dict[str, np.ndarray]:
    """The manifest's tensors, cut out of its shards joined in order."""
    manifest: list[dict[str, Any]] = json.loads((folder / "model.json").read_text())["weightsManifest"]
    tensors = {}
    for group in manifest:
        joined = b"".join((folder / shard).read_bytes() for shard in group["paths"])
        offset = 0
        for spec in group["weights"]:
            size = int(np.prod(spec["shape"]))
            if spec["dtype"] != "float32" or offset + 4 * size > len(joined):
                raise Refused(f"{folder}: {spec['name']} ({spec['dtype']}) cannot be cut out of the shards")
            tensors[spec["name"]] = np.frombuffer(joined, "<f4", size, offset).reshape(spec["shape"])
            offset += 4 * size
        if offset != len(joined):
            raise Refused(f"{folder}: {len(joined) - offset:,} bytes of the shards belong to no tensor")
    return tensors


def _keras_convolution(layer: str) -> str:
    """Keras' name of a layer, with or without its "res" -> the torchvision name of its convolution.

    "conv1" -> "conv1", "res3a_branch2b" -> "layer2.0.conv2", "5a_branch1" -> "layer4.0.downsample.0".
    """
    if layer == "conv1":
        return layer
    match = re.fullmatch(r"(?:res)?([2-5])([a-f])_branch(1|2[abc])", layer)
    if match is None:
        raise Refused(f"ResNet-50 has no layer {layer!r}")
    stage, block, branch = match.groups()
    return f"layer{int(stage) - 1}.{ord(block) - ord('a')}.{CONVOLUTION_OF_BRANCH[branch]}"


def _norm_beside(convolution: str) -> str:
    """ "layer2.0.conv3" -> "layer2.0.bn3", "layer2.0.downsample.0" -> "layer2.0.downsample.1"."""
    shortcut = convolution.removesuffix("downsample.0")
    return convolution.replace("conv", "bn") if shortcut == convolution else f"{shortcut}downsample.1"
