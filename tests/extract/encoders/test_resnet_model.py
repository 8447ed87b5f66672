"""A ResNet from its files: what is none is refused, and what is frozen loses no difference."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from tiny_encoders import Hostile, assert_alike, imagenet, images, resnet, resnet_folder
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from extract.encoders import onednn
from extract.encoders.resnet_model import fold_batch_norm, freeze, pack, shorten
from extract.errors import Refused

load = partial(tiny_encoders.load, "image")

PACKS_BFLOAT16 = onednn.fits("cpu", "bfloat16")


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({1: torch.ones(1)}, "tensors by name, but one is called 1"),
        ([torch.ones(1)], "expected a state dict, not a list"),
        ({"a": 1}, "expected a state dict, but 'a' is no tensor"),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(Refused, match=message):
        load(tmp_path)


def test_a_variance_below_zero_is_refused(tmp_path: Path) -> None:
    net = resnet()
    net.bn1.running_var[0] = -1
    with pytest.raises(Refused, match=r"bn1\.running_var \+ bn_eps \(1e-05\) is not above zero everywhere"):
        load(resnet_folder(tmp_path / "net", net))
