"""cuDNN's fused convolutions, by imitation: what it is asked for, and what is done where it has none."""

import pytest
import torch
from tiny_encoders import images, resnet
from torch import nn
from torch.nn.functional import conv2d

from extract.encoders import cudnn
from extract.encoders.resnet_model import fold_batch_norm, fuse, shorten


@pytest.fixture
def asked(monkeypatch):
    """cuDNN's two calls, done by other kernels; returns what they were asked for."""
    calls = []

    def relu(x, weight, bias, stride, padding, dilation, groups):
        calls.append(("relu", stride, padding))
        return torch.relu(conv2d(x, weight, bias, stride, padding, dilation, groups))

    def add_relu(x, weight, z, alpha, bias, stride, padding, dilation, groups):
        calls.append(("add_relu", alpha, stride))
        return torch.relu(conv2d(x, weight, bias, stride, padding, dilation, groups) + alpha * z)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", add_relu)
    return calls


@pytest.mark.parametrize("bottleneck", [False, True])
@torch.inference_mode()
def test_a_fused_network_gives_what_the_plain_one_gives(asked, bottleneck):
    nets = []
    for fused in (False, True):
        net = resnet(bottleneck)
        fold_batch_norm(net)
        shorten(net, torch.bfloat16)
        if fused:
            fuse(net, cudnn.FusedConv)
        nets.append(net.requires_grad_(False))
    plain, found = (net(images(2).float() / 255).float() for net in nets)
    # the two add in another order before they round to bfloat16
    torch.testing.assert_close(found, plain, rtol=0, atol=0.02 * plain.abs().max().item())
    of_kind = [call[0] for call in asked]
    blocks = sum(len(stage) for stage in (nets[1].layer1, nets[1].layer2, nets[1].layer3, nets[1].layer4))
    assert (of_kind.count("relu"), of_kind.count("add_relu")) == (blocks * (2 if bottleneck else 1), blocks)
    assert ("relu", (2, 2), (1, 1)) in asked
    assert {call[1] for call in asked if call[0] == "add_relu"} == {1.0}


def convolution(dtype=torch.bfloat16, relu=True):
    torch.manual_seed(0)
    return cudnn.FusedConv(nn.Conv2d(8, 8, 3, padding=1).to(dtype).requires_grad_(False), relu)


X = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0)).bfloat16()


@pytest.mark.parametrize("fault", ["no engine", "other values", "no numbers"])
def test_where_cudnn_has_none_that_gives_the_same_the_plain_way_is_gone(monkeypatch, fault):
    calls = []

    def broken(x, *_):
        calls.append(x)
        if fault == "no engine":
            raise RuntimeError("GET was unable to find an engine to execute this computation\nCompile with ...")
        return torch.full_like(x, 9.0 if fault == "other values" else torch.nan)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", broken)
    layer = convolution()
    expected = torch.relu(layer.conv(X))
    why = "GET was unable to find an engine" if fault == "no engine" else "other values"
    with pytest.warns(RuntimeWarning, match=f"a convolution is not fused with its ReLU, which is slower: {why}"):
        assert torch.equal(layer(X), expected)
    assert torch.equal(layer(X), expected)
    assert len(calls) == 1  # it is not asked again


def test_memory_that_is_full_is_said(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "cudnn_convolution_relu", full)
    layer = convolution()
    with pytest.raises(torch.OutOfMemoryError):
        layer(X)
    assert layer.fuses


@pytest.mark.parametrize("shortcut", [None, X])
def test_a_convolution_in_float32_and_one_without_relu_stay_as_they_are(monkeypatch, shortcut):
    monkeypatch.setattr(torch, "cudnn_convolution_relu", None)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", None)
    stem, last = convolution(torch.float32), convolution(relu=False)
    x = X.float()
    if shortcut is None:
        assert torch.equal(stem(x), torch.relu(stem.conv(x)))
        assert torch.equal(last(X), last.conv(X))
    else:
        assert torch.equal(stem.add_relu(x, shortcut.float()), torch.relu(stem.conv(x) + shortcut.float()))


def test_who_has_them(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", None)
    every = [(device, dtype) for device in ("cuda", "cpu", "mps") for dtype in ("float32", "bfloat16", "float16")]
    assert [each for each in every if cudnn.fits(*each)] == [("cuda", "bfloat16")]
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert not any(cudnn.fits(*each) for each in every)


@pytest.mark.gpu
@torch.inference_mode()
def test_on_a_gpu_fused_convolutions_give_what_plain_ones_give():
    dtype = torch.bfloat16
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("no bfloat16 products on this GPU")
    for before, after, size, stride in ((64, 256, 1, 1), (128, 128, 3, 2), (512, 512, 3, 1)):
        conv = nn.Conv2d(before, after, size, stride, size // 2).cuda().to(dtype, memory_format=torch.channels_last)
        layer = cudnn.FusedConv(conv.requires_grad_(False), relu=True)
        x = torch.randn(16, before, 14, 14, device="cuda", dtype=dtype).contiguous(memory_format=torch.channels_last)
        shortcut = torch.randn_like(conv(x))
        for summand in (None, shortcut):
            for _ in range(3):
                torch.full_like(shortcut, torch.nan)  # what the result's memory may hold
                found = layer(x) if summand is None else layer.add_relu(x, summand)
                plain = torch.relu(conv(x).float() + (0 if summand is None else summand.float()))
                # conv(x) itself is rounded once
                torch.testing.assert_close(found.float(), plain, rtol=0, atol=0.02 * plain.abs().max().item())
        assert layer.fuses
