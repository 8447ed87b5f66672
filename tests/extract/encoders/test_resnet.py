"""Frozen image encoders against torchvision and transformers, on small random ResNets and on real weights."""

import copy
from functools import partial
from pathlib import Path

import pytest
import tiny_encoders
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoders import (
    KERAS,
    assert_alike,
    imagenet,
    images,
    pattern,
    resnet,
    resnet_folder,
    torch_home,
    transformers_resnet_folder,
    write_json,
)
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.transforms.v2 import functional as transforms

from extract import encoders
from extract.encoders import catalogue, onednn

load = partial(tiny_encoders.load, "image")

FP32 = 1e-4  # of the largest value: folding and another order of sums round differently in each of 20 layers
Plain = BasicBlock | Bottleneck


@torch.inference_mode()
def pooled(net: ResNet, pixels: Tensor) -> Tensor:
    """torchvision's own way, unfolded, in float32."""
    net = copy.deepcopy(net)
    net.fc = nn.Identity()
    return net(pixels)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return resnet_folder(tmp_path_factory.mktemp("encoders") / "small", resnet())


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_vectors_are_torchvisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bottleneck: bool, packed: bool
) -> None:
    if not packed:
        monkeypatch.setattr(onednn, "fits", lambda device, dtype: False)
    net = resnet(bottleneck)
    encoder = load(resnet_folder(tmp_path / "net", net))
    assert encoder.dim == (2048 if bottleneck else 512)
    assert_alike(encoder.vectors(images(3)), pooled(net, imagenet(images(3))))


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_grid_is_torchvisions_last_feature_map_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bottleneck: bool, packed: bool
) -> None:
    if not packed:
        monkeypatch.setattr(onednn, "fits", lambda device, dtype: False)
    net = resnet(bottleneck)
    folder = resnet_folder(tmp_path / "net", net)
    encoder, channels = load(f"{folder}:grid"), 2048 if bottleneck else 512
    found = encoder.vectors(images(3))
    assert (encoder.dim, found.shape) == (49 * channels, (3, 49 * channels))
    expected = last_map(net, imagenet(images(3)))
    for row, column in ((0, 0), (0, 6), (6, 0), (3, 5)):
        cell = found[:, (7 * row + column) * channels :][:, :channels]
        assert_alike(cell, expected[:, :, row, column], tolerance=FP32 * expected.abs().max().item())
    assert_alike(found.view(3, 49, channels).mean(dim=1), load(folder).vectors(images(3)))


@torch.inference_mode()
def last_map(net: ResNet, pixels: Tensor) -> Tensor:
    """What torchvision's network hands to its pooling."""
    maps: list[Tensor] = []
    hook = net.layer4.register_forward_hook(lambda module, given, found: maps.append(found))
    net(pixels)
    hook.remove()
    return maps[0]


def test_a_grids_bfloat16_stays_close_and_its_fingerprint_is_its_own(small: Path) -> None:
    exact, short = (load(f"{small}:grid", dtype=dtype).vectors(images(4)) for dtype in ("float32", "bfloat16"))
    assert short.dtype == torch.float32
    assert torch.cosine_similarity(short, exact).min() > 0.999
    grid, pooled = (
        encoders.settings(catalogue.locate("image", f"{small}{pooling}"), dtype="float32", max_tokens=1)
        for pooling in (":grid", "")
    )
    assert grid == pooled | {"pooling": "grid"}


def test_he_et_als_resnet_differs_in_strides_epsilon_and_pixels(tmp_path: Path) -> None:
    net = resnet(bottleneck=True)
    expected = as_he_et_al(net)
    caffe = images(2).flip(1).float() - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    right = pooled(expected, caffe)
    assert_alike(load(resnet_folder(tmp_path / "right", net, KERAS)).vectors(images(2)), right)
    for key in KERAS.keys() - {"bn_eps"}:
        recipe = {name: value for name, value in KERAS.items() if name != key}
        wrong = load(resnet_folder(tmp_path / key, net, recipe)).vectors(images(2))
        assert (wrong - right).abs().max() > 100 * FP32 * right.abs().max(), key


def as_he_et_al(net: ResNet) -> ResNet:
    """Written out: the stride of 2 stands on the first convolution of a stage."""
    net = copy.deepcopy(net)
    for stage in (net.layer2, net.layer3, net.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1.001e-5
    return net


@pytest.mark.parametrize(
    ("layer_type", "in_bottleneck"), [("basic", False), ("bottleneck", False), ("bottleneck", True)]
)
def test_a_transformers_folder_gives_what_transformers_gives(
    tmp_path: Path, layer_type: str, in_bottleneck: bool
) -> None:
    folder, model = transformers_resnet_folder(tmp_path / "net", layer_type, in_bottleneck)
    with torch.inference_mode():
        expected = model(imagenet(images(2))).pooler_output.flatten(1)
    encoder = load(folder)
    assert encoder.located.family == "transformers"
    assert_alike(encoder.vectors(images(2)), expected)


def test_a_transformers_folders_own_statistics_count(tmp_path: Path) -> None:
    folder, model = transformers_resnet_folder(tmp_path / "net", "basic")
    write_json(folder / "preprocessor_config.json", {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 1.0]})
    pixels = transforms.normalize(images(2).float() / 255, [0.5, 0.4, 0.3], [0.5, 0.25, 1.0])
    with torch.inference_mode():
        assert_alike(load(folder).vectors(images(2)), model(pixels).pooler_output.flatten(1))


def test_torchvisions_weights_come_from_torch_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = resnet()
    file = torch_home(monkeypatch, tmp_path, "resnet18", net)
    encoder = load("resnet18")
    assert (encoder.located.path, encoder.located.family) == (file, "torchvision")
    assert_alike(encoder.vectors(images(2)), pooled(net, imagenet(images(2))))


@settings(max_examples=3, deadline=None)
@given(st.permutations(range(5)), st.integers(1, 4))
def test_a_vector_does_not_depend_on_its_batch(small: Path, order: list[int], size: int) -> None:
    encoder = load(small, dtype="bfloat16")
    together = encoder.vectors(images(5))
    parts = [encoder.vectors(images(5)[order[start : start + size]]) for start in range(0, 5, size)]
    assert torch.equal(torch.cat(parts), together[order])


def test_bfloat16_stays_close(small: Path) -> None:
    exact, short = (load(small, dtype=dtype).vectors(images(4)) for dtype in ("float32", "bfloat16"))
    assert short.dtype == torch.float32
    assert torch.cosine_similarity(short, exact).min() > 0.999


def test_settings_name_what_changes_a_number(tmp_path: Path, small: Path) -> None:
    other = resnet_folder(tmp_path / "small", resnet(), KERAS)
    found = [
        encoders.settings(catalogue.locate("image", str(folder)), dtype=dtype, max_tokens=1)
        for folder, dtype in ((small, "float32"), (small, "bfloat16"), (other, "float32"), (small, "float32"))
    ]
    assert found[0] == found[3]
    assert len({str(case) for case in found}) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gpu_vectors_equal_cpu_vectors(small: Path, dtype: str) -> None:
    here = load(small, dtype=dtype)
    there = encoders.load(here.located, device="cuda", dtype=dtype, max_tokens=1)
    expected = here.vectors(images(9))
    found = there.vectors(images(9).cuda())
    assert found.device.type == "cuda"
    assert_alike(found.cpu(), expected, tolerance=1e-3 if dtype == "float32" else 0.05)  # bfloat16 keeps 8 bits


@pytest.mark.gpu
def test_compiled_vectors_equal_plain_ones(small: Path) -> None:
    located = catalogue.locate("image", str(small))
    plain, compiled = (
        encoders.load(located, device="cuda", dtype="float32", compile=compile, max_tokens=1)
        for compile in (False, True)
    )
    assert_alike(compiled.vectors(images(4)).cpu(), plain.vectors(images(4)).cpu(), tolerance=1e-3)


@pytest.mark.weights
def test_keras_resnet_gives_its_known_vector() -> None:
    """A drawn pattern's first values, norm and sum in float32, computed apart from this code."""
    encoder = load("resnet50-keras")
    (vector,) = encoder.vectors(pattern())
    # The known values are rounded to five digits, the norm to four, the sum to three.
    known = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.37082, 0.0, 0.05684])
    torch.testing.assert_close(vector[:8], known, atol=5e-5, rtol=0)
    assert vector.norm().item() == pytest.approx(74.8811, abs=5e-4)
    assert vector.sum().item() == pytest.approx(892.63, abs=5e-3)


@pytest.mark.weights
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_keras_resnets_grid_has_the_pooled_vector_as_its_mean(dtype: str) -> None:
    grid, pooled = (load(name, dtype=dtype).vectors(pattern()) for name in ("resnet50-keras:grid", "resnet50-keras"))
    assert_alike(grid.view(1, 49, 2048).mean(dim=1), pooled, tolerance=1e-5 if dtype == "float32" else 0.01)
