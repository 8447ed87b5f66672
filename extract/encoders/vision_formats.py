"""What transformers' image models are, by their type, and what their image processors want done to pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from extract.encoders.family import Incomplete
from extract.encoders.resnet_formats import Normalisation, three_numbers
from extract.encoders.weights import PROCESSOR, PROCESSORS, read_json
from extract.images import Squeeze

TIMM = "timm_wrapper"
MOST_PIXELS = 4096  # along a side


@dataclass(frozen=True)
class Architecture:
    """What transformers has of one type of model."""

    model: str  # its class
    poolings: tuple[str, ...]
    before: int = 0  # tokens before those of patches, registers apart
    one_size: bool = False  # its positions are those of images of one size
    projection: str = ""  # the class of a tower with its projection, and where that is the vector
    resample: Image.Resampling = Image.Resampling.BICUBIC  # where preprocessor_config.json does not say


VIT, MAP = ("pooled", "cls", "mean", "grid"), ("pooled", "mean", "grid")
CLIP = Architecture("CLIPVisionModel", ("pooled", "projected", *VIT[1:]), 1, True, "CLIPVisionModelWithProjection")
SIGLIP = Architecture("SiglipVisionModel", MAP, 0, True)  # what it pools lies in the shared space: no projection
ARCHITECTURES = {
    "clip": CLIP,
    "clip_vision_model": CLIP,
    "siglip": SIGLIP,
    "siglip_vision_model": SIGLIP,
    "dinov2": Architecture("Dinov2Model", VIT, 1),
    "dinov2_with_registers": Architecture("Dinov2WithRegistersModel", VIT, 1),
    "dinov3_vit": Architecture("DINOv3ViTModel", VIT, 1, resample=Image.Resampling.BILINEAR),
    "dinov3_convnext": Architecture("DINOv3ConvNextModel", MAP, 1, resample=Image.Resampling.BILINEAR),
    "vit": Architecture("ViTModel", VIT, 1, True, resample=Image.Resampling.BILINEAR),
    "deit": Architecture("DeiTModel", VIT, 2, True),
    "beit": Architecture("BeitModel", VIT, 1, True),
    "convnext": Architecture("ConvNextModel", MAP),
    "convnextv2": Architecture("ConvNextV2Model", MAP),
    "swin": Architecture("SwinModel", MAP, resample=Image.Resampling.BILINEAR),
    TIMM: Architecture("TimmWrapperModel", ("pooled",)),
}
TWO_TOWERS = ("clip", "siglip")


def model_type(folder: Path) -> str:
    """As transformers calls it; of timm's own folders, which do not say, transformers' wrapper."""
    config = read_json(folder / "config.json")
    return str(config.get("model_type") or (TIMM if "pretrained_cfg" in config else ""))


def pixels_of(folder: Path) -> tuple[Squeeze, Normalisation]:
    """What a folder's image processor says of pixels. Raises Incomplete where it cannot be followed.

    An image is squeezed to what the processor would crop it to.
    """
    if model_type(folder) == TIMM:
        where, said = "config.json", _as_a_processor(read_json(folder / "config.json"))
    else:
        where = next((name for name in PROCESSORS if (folder / name).exists()), PROCESSOR)
        said = read_json(folder / where)
        said = said.get("image_processor", said)  # transformers 5 may keep it beside the tokenizer's settings
    if not said:
        raise Incomplete(f"has no {where} that says how its images are to be scaled and normalised")
    cropped = said.get("do_center_crop", True) and said.get("crop_size")
    width, height = _sides(cropped or said.get("size"), where)
    resample = said.get("resample", ARCHITECTURES[model_type(folder)].resample)
    if resample not in list(Image.Resampling):
        raise Incomplete(f"has a {where} whose resample is {resample!r}, expected one of Pillow's numbers, 0 to 5")
    squeeze = Squeeze(width, height, Image.Resampling(resample))
    if said.get("do_rescale", True) is not True:
        raise Incomplete(f"has a {where} whose do_rescale is {said['do_rescale']!r}, expected true")
    if said.get("do_normalize") is False:
        return squeeze, Normalisation.of_unit_scale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    mean, deviation = said.get("image_mean"), said.get("image_std")
    if not three_numbers(mean) or not three_numbers(deviation) or min(deviation) <= 0:
        raise Incomplete(
            f"has a {where} whose image_mean is {mean} and image_std {deviation}, expected three numbers each, "
            "deviations above 0"
        )
    return squeeze, Normalisation.of_unit_scale(mean, deviation)


def _sides(size: Any, where: str) -> tuple[int, int]:
    """Width and height: of 224, {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    named = size if isinstance(size, dict) else {"shortest_edge": size}
    sides: list[Any] = [named.get(side, named.get("shortest_edge")) for side in ("width", "height")]
    if not all(type(side) is int and 0 < side <= MOST_PIXELS for side in sides):
        raise Incomplete(f"has a {where} whose size is {size!r}, expected 1 to {MOST_PIXELS:,} pixels, as 224")
    return sides[0], sides[1]


def _as_a_processor(config: dict[str, Any]) -> dict[str, Any]:
    """timm's pretrained_cfg in the words of transformers' image processors."""
    said = config.get("pretrained_cfg")
    if not isinstance(said, dict) or not isinstance(said.get("input_size"), list) or len(said["input_size"]) != 3:
        return {}
    _, height, width = said["input_size"]
    resample = Image.Resampling.__members__.get(str(said.get("interpolation", "bicubic")).upper(), "unknown")
    size = {"height": height, "width": width}
    return {"size": size, "resample": resample, "image_mean": said.get("mean"), "image_std": said.get("std")}
