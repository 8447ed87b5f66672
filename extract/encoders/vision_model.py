"""An image model of transformers: pixels in, one vector an image out; to be frozen, or to go on training."""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from extract.encoders import checkpoint
from extract.encoders.family import Located
from extract.encoders.resnet_model import Normalise
from extract.encoders.vision_formats import ARCHITECTURES, TIMM, TWO_TOWERS, model_type, pixels_of
from extract.encoders.weights import in_words
from extract.errors import Refused, need


class Pooled(nn.Module):
    """A transformers model and what makes one vector of its output."""

    def __init__(self, model: Any, pooling: str, before: int) -> None:
        """before: tokens that are no patches'."""
        super().__init__()
        self.model, self.pooling, self.before = model, pooling, before

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """image: normalised pixels."""
        output = self.model(pixel_values=image.to(self.model.dtype))
        if self.pooling == "projected":
            return output.image_embeds
        if self.pooling == "pooled":
            return output.pooler_output.flatten(1)
        tokens = output.last_hidden_state
        if tokens.dim() == 4:  # a map of channels, height and width
            tokens = tokens.flatten(2).transpose(1, 2)
        if self.pooling == "cls":
            return tokens[:, 0]
        patches = tokens[:, self.before :]
        return patches.float().mean(dim=1) if self.pooling == "mean" else patches.flatten(1)


class VisionModel(nn.Module):
    """An image model as it was published, from pixels on."""

    def __init__(self, normalise: Normalise, net: Pooled, dim: int) -> None:
        super().__init__()
        self.normalise, self.net, self.dim = normalise, net, dim

    def forward(self, pixels: UInt8[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """float32 vectors. pixels: RGB."""
        return self.net(self.normalise(pixels)).float()


def read_vision_model(located: Located) -> VisionModel:
    """The model from its files, in float32 and eval mode. Raises Refused as encoders.load does."""
    import transformers

    kind = model_type(located.path)
    if kind == TIMM:
        need(["timm"], f"{located.name} is a model of", "timm")
    architecture, (squeeze, normalisation) = ARCHITECTURES[kind], pixels_of(located.path)
    projected = located.pooling == "projected"
    of_class = getattr(transformers, architecture.projection if projected else architecture.model)
    model, missing = checkpoint.read_model(located, of_class, tower="vision_config" if kind in TWO_TOWERS else "")
    pooler = {key for key in missing if key.startswith("pooler.")}
    if pooler and located.pooling == "pooled":
        raise Refused(f"{located.name} has no trained pooler. Take {located.name}:cls or {located.name}:mean")
    if pooler:
        model.pooler = None  # not asked for
    # what stands for masked patches in training
    checkpoint.refuse_unsound(located, model, {key for key in missing - pooler if not key.endswith("mask_token")})
    _refuse_size(located, model.config, squeeze.width, squeeze.height)
    net = Pooled(model, located.pooling, architecture.before + getattr(model.config, "num_register_tokens", 0))
    normalise = Normalise(normalisation)
    try:
        with torch.inference_mode():
            (vector,) = net(normalise(torch.zeros(1, 3, squeeze.height, squeeze.width, dtype=torch.uint8)))
    except Exception as error:  # settings that fit the weights, but not each other
        raise Refused(f"{located.name}: it cannot encode an image: {in_words(error)}") from None
    return VisionModel(normalise, net, len(vector)).eval()


def _refuse_size(located: Located, config: Any, width: int, height: int) -> None:
    """Raise Refused for images of a size that the model's position embedding or its patches do not fit."""
    kind = model_type(located.path)
    if ARCHITECTURES[kind].one_size:
        side = config.image_size
        wide, high = (side[1], side[0]) if isinstance(side, list | tuple) else (side, side)
        if (wide, high) != (width, height):
            raise Refused(
                f"{located.name}: its images are to be {width}x{height}, but its position embedding is of {wide}x{high}"
            )
    elif isinstance(patch := getattr(config, "patch_size", 1), int) and (width % patch or height % patch):
        raise Refused(f"{located.name}: images of {width}x{height} are not made of whole patches of {patch}x{patch}")
