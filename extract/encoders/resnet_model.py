"""A ResNet from its files: pixels in, one vector an image out; to go on training, or frozen.

Frozen, batch norm is folded into the convolutions, and what follows these is done within them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from extract.encoders import cudnn, onednn, resnet_formats
from extract.encoders.family import Incomplete, Located
from extract.encoders.resnet_formats import Normalisation
from extract.encoders.weights import RECIPE, in_words, not_finite, read_json, weight_files
from extract.errors import Refused

GRID = 7  # cells along a side of the last feature map of 224 x 224 pixels


class Normalise(nn.Module):
    """Pixels as a network wants them."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, how: Normalisation) -> None:
        super().__init__()
        self.reverse = how.reverse
        for name, values in (("mean", how.mean), ("deviation", how.deviation)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """pixels: RGB."""
        image = pixels.flip(1) if self.reverse else pixels
        return (image.float() - self.mean) / self.deviation


class ImageModel(nn.Module):
    """A ResNet as it was published, batch norms in place, from pixels on."""

    def __init__(self, normalise: Normalise, net: ResNet) -> None:
        super().__init__()
        self.normalise = normalise
        self.net = net  # its weights stay contiguous, as checkpoints want them
        self.dim = outputs(net)

    def forward(self, pixels: UInt8[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch dim"]:
        """float32 vectors. pixels: RGB."""
        return self.net(self.normalise(pixels).contiguous(memory_format=torch.channels_last)).float()


def read_resnet(located: Located) -> tuple[Normalise, ResNet]:
    """Build the network from its files, in eval mode. Raises Refused as encoders.load does."""
    try:
        state, recipe = _read(located)
        normalisation, layout = resnet_formats.understand(recipe)
        net = build(state, **layout)
    except (Incomplete, ValueError, OSError) as error:
        raise Refused(f"{located.name}: {located.path} holds no ResNet that can be used: {error}") from None
    if located.pooling == "grid":
        net.avgpool = RowMajor()
    return Normalise(normalisation), net


def _read(located: Located) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A state dict by torchvision's names, and what encoder.json says or would say."""
    if located.path.is_file():
        return _tensors([located.path]), {}
    tensors = _tensors(resnet_formats.files(located.path))
    if located.family == "transformers":
        return resnet_formats.from_transformers(tensors), resnet_formats.transformers_recipe(located.path)
    return tensors, read_json(located.path / RECIPE)


def _tensors(paths: list[Path]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for path in weight_files(paths):
        try:
            part = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        except UnpicklingError:
            raise ValueError(f"{path.name} holds more than tensors; it was not loaded") from None
        except Exception as error:  # what a damaged file makes of torch.load has no common kind
            raise ValueError(f"{path.name} cannot be read: {in_words(error)}") from None
        if not isinstance(part, dict):
            raise ValueError(f"{path.name}: expected a state dict, not a {type(part).__name__}")
        if others := [name for name, value in part.items() if not isinstance(value, Tensor)]:
            raise ValueError(f"expected a state dict, but {others[0]!r} is no tensor")
        if numbered := [name for name in part if not isinstance(name, str)]:
            raise ValueError(f"{path.name}: expected a state dict, tensors by name, but one is called {numbered[0]!r}")
        state |= part
    return state


def freeze(net: ResNet, device: str, dtype: str, compile: bool) -> nn.Module:
    """Make a network ready for inference, in place: it takes normalised pixels. compile: with torch.compile."""
    fold_batch_norm(net.requires_grad_(False))
    if dtype != "float32":
        shorten(net, getattr(torch, dtype))
    net.to(device)
    frozen: Any = net.to(memory_format=torch.channels_last)
    if compile:
        if isinstance(net.conv1, Stem):
            # the compiler drops a rounding that is taken back: of the second summand it would leave 0
            stem: Any = net.conv1
            stem.forward = torch.compiler.disable(stem.forward)
        compiled: Any = torch.compile(frozen)
        return compiled
    if onednn.fits(device, dtype):
        pack(net)
    elif cudnn.fits(device, dtype):
        fuse(net, cudnn.FusedConv)
    return frozen


def build(state: Mapping[str, Tensor], *, stride_on: str = "conv2", bn_eps: float = 1e-5) -> ResNet:
    """A torchvision ResNet of the depth that the state dict has, without classifier, in float32.

    stride_on: where a bottleneck halves the image: "conv2" as torchvision does (called v1.5), "conv1" as He et al. do.
    Raises ValueError if the tensors are not those of a ResNet.
    """
    block: type[BasicBlock | Bottleneck] = Bottleneck if "layer1.0.conv3.weight" in state else BasicBlock
    stages = [{name.split(".")[1] for name in state if name.startswith(f"layer{stage}.")} for stage in (1, 2, 3, 4)]
    with torch.device("meta"):  # no time spent on random weights
        net = ResNet(block, [len(blocks) for blocks in stages])
        net.fc = nn.Identity()
    body = {name: tensor.float() for name, tensor in state.items() if not name.startswith("fc.")}
    if fault := not_finite(body):
        raise ValueError(fault)
    expected = {name for name in net.state_dict() if not name.endswith("num_batches_tracked")}
    if lacking := sorted(expected - body.keys()):
        raise ValueError(f"{len(lacking)} of a ResNet's {len(expected)} tensors are missing, first: {lacking[0]}")
    try:
        net.to_empty(device="cpu").load_state_dict(body, strict=False)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split()[:40])) from None
    if unknown := sorted(body.keys() - net.state_dict().keys()):
        raise ValueError(f"{len(unknown)} tensors belong to no ResNet, first: {unknown[0]}")
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = bn_eps
            assert module.running_var is not None  # every batch norm of a ResNet counts its statistics
            if bool((module.running_var + bn_eps <= 0).any()):
                raise ValueError(f"{name}.running_var + bn_eps ({bn_eps}) is not above zero everywhere")
            module.num_batches_tracked = torch.tensor(0)  # nothing reads it; not every state dict has it
        if isinstance(module, Bottleneck) and stride_on == "conv1":
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
    return net.eval()


class RowMajor(nn.Module):
    """In place of the mean over a feature map: the map itself, cell after cell, row by row."""

    def forward(self, x: Float[Tensor, "batch channels high wide"]) -> Float[Tensor, "batch high wide channels"]:
        return x.permute(0, 2, 3, 1)  # of a channels-last map no byte moves


def outputs(net: ResNet) -> int:
    """Length of the vector that the network gives for 224 x 224 pixels."""
    return net.inplanes * (GRID**2 if isinstance(net.avgpool, RowMajor) else 1)


def fold_batch_norm(module: nn.Module) -> None:
    """Merge each convolution with the batch norm that follows it, in place.

    With frozen statistics norm(conv(x)) is one convolution: weights times s, bias (b - mean) s + beta, where
    s = gamma / sqrt(variance + eps).
    """
    previous: tuple[str, nn.Module] = ("", module)
    for name, child in module.named_children():
        before, conv = previous
        if isinstance(conv, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            setattr(module, before, fuse_conv_bn_eval(conv, child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norm(child)
        previous = (name, child)


class Stem(nn.Module):
    """The layers before the first block, in float32, for a network whose other layers are in a shorter type.

    Of a picture that is nearly alike everywhere, as a black one is, eight bits would round away what differs. So what
    is found leaves in two summands: rounded, and what rounding took away.
    """

    def __init__(self, net: ResNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv, self.relu, self.maxpool = net.conv1, net.relu, net.maxpool
        self.dtype = dtype

    def forward(
        self, pixels: Float[Tensor, "batch 3 high wide"]
    ) -> Float[Tensor, "batch twice_channels lower narrower"]:
        pooled = self.maxpool(self.relu(self.conv(pixels)))
        rounded = pooled.to(self.dtype)
        return torch.cat([rounded, (pooled - rounded).to(self.dtype)], dim=1)


def shorten(net: ResNet, dtype: torch.dtype) -> None:
    """Round a folded ResNet to bfloat16 or float16, in place, but for its stem. It takes float32 pixels as before."""
    stem = Stem(net, dtype)
    net.conv1 = net.relu = net.maxpool = nn.Identity()
    first = net.layer1[0]
    if first.downsample is None:
        first.downsample = nn.Sequential(_same(first.conv1.in_channels))
    for conv in (first.conv1, first.downsample[0]):
        conv.weight = nn.Parameter(torch.cat([conv.weight, conv.weight], dim=1), requires_grad=False)
        conv.in_channels *= 2
    net.to(dtype)
    net.conv1 = stem


def _same(channels: int) -> nn.Conv2d:
    """A convolution that gives what it is given."""
    conv = nn.Conv2d(channels, channels, kernel_size=1, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.eye(channels)[:, :, None, None])
    return conv


Fused = onednn.PackedConv | cudnn.FusedConv


def pack(net: ResNet, pixels: Sequence[int] = (8, 3, 224, 224)) -> None:
    """Fuse a folded ResNet for this CPU.

    pixels: shape of the batches to come; others work, but slower.
    """
    size = _input_sizes(net, pixels)
    fuse(net, lambda conv, relu: onednn.PackedConv(conv, size[conv], relu))


def fuse(net: ResNet, fused: Callable[[nn.Conv2d, bool], Fused]) -> None:
    """Replace a folded ResNet's convolutions, additions and ReLUs, in place. fused: makes one, with ReLU or without."""
    stem: Any = net.conv1 if isinstance(net.conv1, Stem) else net
    name = "conv" if isinstance(net.conv1, Stem) else "conv1"
    setattr(stem, name, fused(getattr(stem, name), True))
    stem.relu = nn.Identity()
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for number, block in enumerate(stage):
            stage[number] = FusedBlock(block, fused)


class FusedBlock(nn.Module):
    """A residual block of a folded ResNet, three or four calls in all."""

    def __init__(self, block: BasicBlock | Bottleneck, fused: Callable[[nn.Conv2d, bool], Fused]) -> None:
        super().__init__()
        *inner, last = [child for name, child in block.named_children() if name.startswith("conv")]
        self.inner = nn.Sequential(*(fused(conv, True) for conv in inner))
        self.last = fused(last, False)
        self.shortcut: nn.Module = nn.Identity()
        if block.downsample is not None:
            self.shortcut = fused(block.downsample[0], False)

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after high wide"]:
        # The sum may be written over the shortcut: where that is x itself, nobody reads x any more.
        inner = self.inner(x)
        return self.last.add_relu(inner, self.shortcut(x))


@torch.inference_mode()
def _input_sizes(net: ResNet, pixels: Sequence[int]) -> dict[nn.Module, Sequence[int]]:
    """What each convolution is given when the network is given images of that size."""
    sizes: dict[nn.Module, Sequence[int]] = {}

    def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes[conv] = inputs[0].shape

    hooks = [module.register_forward_pre_hook(note) for module in net.modules() if isinstance(module, nn.Conv2d)]
    net(torch.zeros(*pixels))
    for hook in hooks:
        hook.remove()
    return sizes
