"""A ResNet: pixels in, one vector an image out: the last feature map's mean, or that map itself."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from extract.encoders import onednn, resnet, transformers_resnet
from extract.encoders.catalogue import Located
from extract.encoders.fetch import in_words
from extract.encoders.weights import RECIPE, Incomplete, files, read_json, weight_files
from extract.errors import Refused

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of ImageNet's RGB, on the scale 0..1


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


class Normalise(nn.Module):
    """Pixels as a network wants them."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, how: Normalisation) -> None:
        super().__init__()
        self.reverse = how.reverse
        for name, values in (("mean", how.mean), ("deviation", how.deviation)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: UInt8[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch 3 224 224"]:
        """pixels: RGB."""
        image = pixels.flip(1) if self.reverse else pixels
        return (image.float() - self.mean) / self.deviation


class ImageModel(nn.Module):
    """A ResNet as it was published, batch norms in place, from pixels on."""

    def __init__(self, normalise: Normalise, net: resnet.ResNet) -> None:
        super().__init__()
        self.normalise = normalise
        self.net = net  # its weights stay contiguous, as checkpoints want them
        self.dim = resnet.outputs(net)

    def forward(self, pixels: UInt8[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch dim"]:
        """float32 vectors. pixels: RGB."""
        return self.net(self.normalise(pixels).contiguous(memory_format=torch.channels_last)).float()


class ImageEncoder:
    """An image encoder in memory. An image's vector does not depend on the images that share its batch."""

    def __init__(
        self,
        located: Located,
        net: nn.Module,
        normalise: Normalise,
        *,
        dim: int,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self.located = located
        self.dim = dim
        self.device = torch.device(device)
        self.dtype = dtype
        self._net = net
        self._normalise = normalise.to(device)

    @torch.inference_mode()
    def encode(self, pixels: UInt8[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch dim"]:
        """Vectors on the encoder's device: pooled, or a grid's rows [7 * 7 * channels].

        pixels: RGB, on the CPU or already on the device.
        """
        image = self._normalise(pixels.to(self.device, non_blocking=True))
        # float32 is to mean float32: cuDNN's convolutions would round their input to TF32's ten bits
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if image.is_cuda else nullcontext():
            return self._net(image.contiguous(memory_format=torch.channels_last)).float()


def load(located: Located, *, device: str, dtype: str, compile: bool) -> ImageEncoder:
    """Freeze a network for inference. Raises Refused as image_encoders.load does."""
    normalise, net = read(located)
    dim = resnet.outputs(net)
    resnet.fold_batch_norm(net.requires_grad_(False))
    if dtype != "float32":
        resnet.shorten(net, getattr(torch, dtype))
    net.to(device)
    frozen: Any = net.to(memory_format=torch.channels_last)
    if compile:
        frozen = torch.compile(frozen)
    elif onednn.fits(device, dtype):
        resnet.pack(net)
    return ImageEncoder(located, frozen, normalise, dim=dim, device=device, dtype=getattr(torch, dtype))


def read(located: Located) -> tuple[Normalise, resnet.ResNet]:
    """Build the network from its files, in eval mode. Raises Refused as image_encoders.load does."""
    try:
        state, recipe = _read(located)
        normalisation, layout = _understand(recipe)
        net = resnet.build(state, **layout)
    except (Incomplete, ValueError, OSError) as error:
        raise Refused(f"{located.name}: {located.path} holds no ResNet that can be used: {error}") from None
    if located.pooling == "grid":
        net.avgpool = resnet.RowMajor()
    return Normalise(normalisation), net


def _read(located: Located) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A state dict by torchvision's names, and what encoder.json says or would say."""
    if located.path.is_file():
        return _tensors([located.path]), {}
    tensors = _tensors(files("image", located.path))
    if located.family == "transformers":
        return transformers_resnet.convert(tensors), transformers_resnet.recipe(located.path)
    return tensors, read_json(located.path / RECIPE)


def _tensors(paths: list[Path]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for path in weight_files(paths):
        try:
            state |= load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        except UnpicklingError:
            raise ValueError(f"{path.name} holds more than tensors; it was not loaded") from None
        except (SafetensorError, RuntimeError, EOFError, TypeError) as error:
            raise ValueError(f"{path.name} cannot be read: {in_words(error)}") from None
    if others := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"expected a state dict, but {others[0]!r} is no tensor")
    return state


def _understand(recipe: dict[str, Any]) -> tuple[Normalisation, dict[str, Any]]:
    """encoder.json -> normalisation and the arguments of `resnet.build`; torchvision's ways where it says nothing.

    {"normalisation": "imagenet" | "caffe" | {"mean": [3 numbers], "deviation": [3 numbers]} on the scale 0..1,
     "stride_on": "conv1" | "conv2", "bn_eps": number}
    """
    if unknown := recipe.keys() - {"normalisation", "stride_on", "bn_eps"}:
        raise ValueError(f"{RECIPE} has unknown keys: {', '.join(sorted(unknown))}")
    layout = {key: value for key, value in recipe.items() if key != "normalisation"}
    if layout.get("stride_on", "conv1") not in ("conv1", "conv2"):
        raise ValueError(f"stride_on is {layout['stride_on']!r}, expected 'conv1' or 'conv2'")
    if not isinstance(layout.get("bn_eps", 1e-5), float):
        raise ValueError(f"bn_eps is {layout['bn_eps']!r}, expected a small number, as 1e-5")
    named = recipe.get("normalisation", "imagenet")
    if isinstance(named, dict):
        mean, deviation = (named[key] if isinstance(named.get(key), list) else [] for key in ("mean", "deviation"))
        if len(mean) != 3 or len(deviation) != 3 or 0 in deviation:
            raise ValueError(f"normalisation is {named}, expected a mean and a deviation of three numbers each")
        return Normalisation.of_unit_scale(mean, deviation), layout
    if named not in NORMALISATIONS:
        raise ValueError(
            f"normalisation is {named!r}, expected one of {', '.join(NORMALISATIONS)} or mean and deviation"
        )
    return NORMALISATIONS[named], layout
