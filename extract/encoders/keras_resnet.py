"""Keras' ResNet-50, in TensorFlow.js' layers format -> a state dict with torchvision's names.

The weights are He et al.'s own (https://arxiv.org/abs/1512.03385), converted from Caffe. They differ from torchvision's
model in three things that loading does not show, and that RECIPE tells the encoder: the stride of a stage stands on its
first convolution, batch norm's epsilon is another, and images go in as BGR, 0..255, with Caffe's means taken off.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from extract.errors import Refused

# The file gives 1e-3 for epsilon: a slip of its exporter, keras-applications builds with this one.
RECIPE = {"normalisation": "caffe", "stride_on": "conv1", "bn_eps": 1.001e-5}
CONVOLUTION_OF_BRANCH = {"2a": "conv1", "2b": "conv2", "2c": "conv3", "1": "downsample.0"}
NORM_TENSORS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def convert(folder: Path) -> dict[str, np.ndarray]:
    """Read model.json and its shards; returns float32 tensors by torchvision's names, the classifier included.

    Raises Refused if the files are not this model's.
    """
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in _tensors(folder).items():
        layer, _, part = name.rpartition("/")
        layers.setdefault(layer.rpartition("/")[2], {})[part] = tensor
    state: dict[str, np.ndarray] = {}
    for layer, parts in layers.items():
        if layer == "fc1000":
            state["fc.weight"], state["fc.bias"] = parts["kernel"].T, parts["bias"]
        elif "kernel" in parts:
            state[f"{_convolution(layer)}.weight"] = parts["kernel"].transpose(3, 2, 0, 1)  # HWIO to OIHW
        else:
            norm = _norm_of(_convolution(re.sub("^bn_?", "", layer)))
            state |= {f"{norm}.{NORM_TENSORS[part]}": tensor for part, tensor in parts.items()}
    for layer, parts in layers.items():
        if layer != "fc1000" and "bias" in parts:
            # norm(x + bias) with mean m is norm(x) with mean m - bias
            mean = f"{_norm_of(_convolution(layer))}.running_mean"
            state[mean] = state[mean] - parts["bias"]
    return {name: np.ascontiguousarray(tensor, dtype=np.float32) for name, tensor in state.items()}


def _tensors(folder: Path) -> dict[str, np.ndarray]:
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


def _convolution(layer: str) -> str:
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


def _norm_of(convolution: str) -> str:
    """ "layer2.0.conv3" -> "layer2.0.bn3", "layer2.0.downsample.0" -> "layer2.0.downsample.1"."""
    shortcut = convolution.removesuffix("downsample.0")
    return convolution.replace("conv", "bn") if shortcut == convolution else f"{shortcut}downsample.1"
