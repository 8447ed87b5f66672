"""Frozen image encoders against torchvision and transformers, on small random ResNets and on real weights."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoders import (
    IMAGENET,
    KERAS,
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
from extract.encoders.resnet import ResNet as Encoder
from extract.encoders.resnet_model import fold_batch_norm, freeze, pack, shorten
from extract.errors import Refused

FP32 = 1e-4  # of the largest value: folding and another order of sums round differently in each of 20 layers
PACKS_BFLOAT16 = onednn.fits("cpu", "bfloat16")
Plain = BasicBlock | Bottleneck


def load(path: Path | str, dtype: str = "float32") -> Encoder:
    return encoders.load(catalogue.locate("image", str(path)), device="cpu", dtype=dtype, max_tokens=1)


@torch.inference_mode()
def pooled(net: ResNet, pixels: Tensor) -> Tensor:
    """torchvision's own way, unfolded, in float32."""
    net = copy.deepcopy(net)
    net.fc = nn.Identity()
    return net(pixels)


def imagenet(pixels: Tensor) -> Tensor:
    return transforms.normalize(pixels.float() / 255, IMAGENET["image_mean"], IMAGENET["image_std"])


def assert_alike(found: Tensor, expected: Tensor, tolerance: float = FP32) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=tolerance * expected.abs().max().item(), rtol=0)


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
    exact, short = (load(f"{small}:grid", dtype).vectors(images(4)) for dtype in ("float32", "bfloat16"))
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
    encoder = load(small, "bfloat16")
    together = encoder.vectors(images(5))
    parts = [encoder.vectors(images(5)[order[start : start + size]]) for start in range(0, 5, size)]
    assert torch.equal(torch.cat(parts), together[order])


def test_memory_layout_changes_nothing(small: Path) -> None:
    rows_of_pixels = images(2).permute(0, 2, 3, 1).contiguous()  # as a decoder gives them
    assert torch.equal(load(small).vectors(rows_of_pixels.permute(0, 3, 1, 2)), load(small).vectors(images(2)))


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize(
    "packed",
    [False, pytest.param(True, marks=pytest.mark.skipif(not PACKS_BFLOAT16, reason="no AVX512, no packed bfloat16"))],
)
@torch.inference_mode()
def test_in_bfloat16_the_first_block_is_given_what_float32_gives(bottleneck: bool, packed: bool) -> None:
    """To 16 bits and not to 8: in a nearly black picture the difference is all there is."""
    net = resnet(bottleneck)
    fold_batch_norm(net)
    dark = imagenet((images(3).float() / 255 * 3).round().to(torch.uint8))
    exact = net.maxpool(net.relu(net.conv1(dark)))
    block = copy.deepcopy(net.layer1[0]).to(torch.bfloat16)
    shorten(net, torch.bfloat16)
    if packed:
        pack(net)
    found = net.conv1(dark)
    assert found.dtype == torch.bfloat16
    high, low = found.float().chunk(2, dim=1)
    assert ((high - exact).abs() > 2**-11 * exact.abs()).any()
    assert (high + low - exact).abs().max() <= 2**-15 * exact.max()
    assert_alike(net.layer1[0](found).float(), block(exact.bfloat16()).float(), tolerance=0.02)


@pytest.mark.slow
@torch.inference_mode()
def test_compiled_in_bfloat16_the_second_summand_is_not_lost() -> None:
    """The compiler takes a rounding that is taken back for nothing: the difference would be exactly 0."""
    net = resnet()
    compiled = freeze(net, "cpu", "bfloat16", compile=True)  # at its first call
    for name in ("layer1", "layer2", "layer3", "layer4", "avgpool", "fc"):
        setattr(net, name, nn.Identity())
    assert compiled(imagenet(images(1))).chunk(2, dim=1)[1].abs().max() > 0


def test_bfloat16_stays_close(small: Path) -> None:
    exact, short = (load(small, dtype).vectors(images(4)) for dtype in ("float32", "bfloat16"))
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
        load(folder)


def test_weights_that_are_no_resnets_are_refused(tmp_path: Path) -> None:
    net = resnet()
    del net.layer3[0].conv2
    with pytest.raises(Refused, match=r"1 of a ResNet's \d+ tensors are missing, first: layer3\.0\.conv2\.weight"):
        load(resnet_folder(tmp_path / "less", net))
    more = resnet()
    more.layer1[0].extra = nn.Linear(2, 2)
    with pytest.raises(Refused, match=r"2 tensors belong to no ResNet, first: layer1\.0\.extra\.bias"):
        load(resnet_folder(tmp_path / "more", more))
    wide = ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=128)
    with pytest.raises(Refused, match="size mismatch for layer1"):
        load(resnet_folder(tmp_path / "wide", wide))


def test_a_transformers_resnet_that_torchvision_has_not_is_refused(tmp_path: Path) -> None:
    folder, _ = transformers_resnet_folder(tmp_path / "net", "basic")
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"hidden_act": "gelu"})
    with pytest.raises(Refused, match="hidden_act is 'gelu', expected 'relu'"):
        load(folder)


def test_damaged_and_hostile_weights_are_refused(tmp_path: Path) -> None:
    whole = resnet_folder(tmp_path / "cut", resnet()) / "model.safetensors"
    whole.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(Refused, match=r"model\.safetensors cannot be read"):
        load(whole.parent)
    (tmp_path / "hostile").mkdir()
    torch.save({"conv1.weight": Hostile(tmp_path / "ran")}, tmp_path / "hostile" / "net.pth")
    with pytest.raises(Refused, match=r"net\.pth holds more than tensors; it was not loaded"):
        load(tmp_path / "hostile")
    assert not (tmp_path / "ran").exists()
    torch.save({"epoch": 3}, tmp_path / "hostile" / "net.pth")
    with pytest.raises(Refused, match="expected a state dict, but 'epoch' is no tensor"):
        load(tmp_path / "hostile")


class Hostile:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gpu_vectors_equal_cpu_vectors(small: Path, dtype: str) -> None:
    here = load(small, dtype)
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
    grid, pooled = (load(name, dtype).vectors(pattern()) for name in ("resnet50-keras:grid", "resnet50-keras"))
    assert_alike(grid.view(1, 49, 2048).mean(dim=1), pooled, tolerance=1e-5 if dtype == "float32" else 0.01)
