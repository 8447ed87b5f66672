"""TensorFlow.js' files -> torchvision's names and layouts."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_encoders import IMAGENET, load, resnet, resnet_folder, transformers_resnet_folder, write_json
from torchvision.models import resnet50

from extract import encoders
from extract.encoders import catalogue, resnet_formats
from extract.errors import Refused

GENERATOR = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape, dtype=np.float32)


def write(folder: Path, tensors: dict[str, np.ndarray], spare: bytes = b"") -> Path:
    """A manifest and shards of 1,000 bytes: tensors run across their borders."""
    joined = b"".join(tensor.astype("<f4").tobytes() for tensor in tensors.values()) + spare
    shards = [joined[start : start + 1000] for start in range(0, len(joined), 1000)]
    # The order is the manifest's, not the alphabet's: shard 10 comes after shard 9.
    names = [f"group1-shard{number}of{len(shards)}.bin" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    specs = [{"name": name, "shape": tensor.shape, "dtype": "float32"} for name, tensor in tensors.items()]
    manifest = [{"paths": names, "weights": specs}]
    (folder / "model.json").write_text(json.dumps({"weightsManifest": manifest}))
    return folder


def norm(name: str, width: int) -> dict[str, np.ndarray]:
    return {f"{name}/{part}": draw(width) for part in ("gamma", "beta", "moving_mean", "moving_variance")}


def test_names_layouts_and_biases(tmp_path: Path) -> None:
    tensors = {
        "conv1/kernel": draw(7, 7, 3, 4),
        "conv1/bias": draw(4),
        "res3a_branch1/kernel": draw(1, 1, 4, 8),
        "res3a_branch1/bias": draw(8),
        "res5c_branch2b/kernel": draw(3, 3, 4, 8),
        "fc1000/kernel": draw(8, 10),
        "fc1000/bias": draw(10),
        **norm("bn_conv1", 4),
        **norm("bn3a_branch1", 8),
        **norm("bn5c_branch2b", 8),
    }
    state = resnet_formats.from_keras(write(tmp_path, tensors))
    expected = {
        "conv1.weight": tensors["conv1/kernel"].transpose(3, 2, 0, 1),
        "layer2.0.downsample.0.weight": tensors["res3a_branch1/kernel"].transpose(3, 2, 0, 1),
        "layer4.2.conv2.weight": tensors["res5c_branch2b/kernel"].transpose(3, 2, 0, 1),
        "fc.weight": tensors["fc1000/kernel"].T,
        "fc.bias": tensors["fc1000/bias"],
        "bn1.weight": tensors["bn_conv1/gamma"],
        "bn1.bias": tensors["bn_conv1/beta"],
        "bn1.running_mean": tensors["bn_conv1/moving_mean"] - tensors["conv1/bias"],
        "bn1.running_var": tensors["bn_conv1/moving_variance"],
        "layer2.0.downsample.1.running_mean": (tensors["bn3a_branch1/moving_mean"] - tensors["res3a_branch1/bias"]),
        "layer4.2.bn2.running_mean": tensors["bn5c_branch2b/moving_mean"],
    }
    for name, tensor in expected.items():
        np.testing.assert_array_equal(state[name], tensor, err_msg=name)
        assert state[name].dtype == np.float32
    assert len(state) == 5 + 3 * 4


def test_every_tensor_of_torchvisions_resnet50_has_a_keras_name(tmp_path: Path) -> None:
    tensors = {"fc1000/kernel": draw(1, 1), "fc1000/bias": draw(1)}
    for stage, blocks in enumerate((3, 4, 6, 3), 2):
        for block in "abcdef"[:blocks]:
            for branch in ("2a", "2b", "2c", "1")[: 4 if block == "a" else 3]:
                tensors[f"res{stage}{block}_branch{branch}/kernel"] = draw(1, 1, 1, 1)
                tensors |= norm(f"bn{stage}{block}_branch{branch}", 1)
    tensors |= {"conv1/kernel": draw(1, 1, 1, 1), **norm("bn_conv1", 1)}
    names = {name for name in resnet50().state_dict() if not name.endswith("num_batches_tracked")}
    assert resnet_formats.from_keras(write(tmp_path, tensors)).keys() == names


def test_files_of_another_model_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"conv1/kernel": draw(1, 1, 1, 1)}, spare=b"1234")
    with pytest.raises(Refused, match="4 bytes of the shards belong to no tensor"):
        resnet_formats.from_keras(tmp_path)
    write(tmp_path, {"block1_conv1/kernel": draw(1, 1, 1, 1)})
    with pytest.raises(Refused, match="ResNet-50 has no layer 'block1_conv1'"):
        resnet_formats.from_keras(tmp_path)
    (tmp_path / "group1-shard1of1.bin").write_bytes(b"123")
    with pytest.raises(Refused, match=r"block1_conv1/kernel \(float32\) cannot be cut out of the shards"):
        resnet_formats.from_keras(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"normalization": "caffe"}, r"encoder\.json has unknown keys: normalization"),
        ({"normalisation": "cafe"}, "normalisation is 'cafe', expected one of imagenet, caffe or mean and deviation"),
        ({"normalisation": {"mean": [1, 2, 3]}}, "expected a mean and a deviation of three numbers each"),
        ({"bn_eps": "1e-5"}, "bn_eps is '1e-5', expected a small number, as 1e-5"),
        ({"stride_on": "conv3"}, "stride_on is 'conv3', expected 'conv1' or 'conv2'"),
    ],
)
def test_a_recipe_with_a_slip_is_refused(tmp_path: Path, recipe: dict[str, Any], message: str) -> None:
    folder = resnet_folder(tmp_path / "net", resnet(), recipe)
    with pytest.raises(Refused, match=message):
        load("image", folder)


def test_a_transformers_resnet_that_torchvision_has_not_is_refused(tmp_path: Path) -> None:
    folder, _ = transformers_resnet_folder(tmp_path / "net", "basic")
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"hidden_act": "gelu"})
    with pytest.raises(Refused, match="hidden_act is 'gelu', expected 'relu'"):
        load("image", folder)


def test_pixels_that_are_not_to_be_normalised_are_not(tmp_path: Path) -> None:
    normalised, _ = transformers_resnet_folder(tmp_path / "normalised", "basic")
    folder = Path(shutil.copytree(normalised, tmp_path / "theirs"))
    write_json(folder / "preprocessor_config.json", IMAGENET | {"do_normalize": False})
    normalisation, _ = resnet_formats.understand(resnet_formats.transformers_recipe(folder))
    assert (normalisation.mean, normalisation.deviation) == ((0.0,) * 3, (255.0,) * 3)
    changed, before = (catalogue.locate("image", str(path)) for path in (folder, normalised))
    assert encoders.settings(changed, dtype="float32", max_tokens=8)["normalised"] == "no"
    assert "normalised" not in encoders.settings(before, dtype="float32", max_tokens=8)
