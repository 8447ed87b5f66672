"""ResNets as image encoders: torchvision's, transformers', any state dict. Importing takes no torch; loading does."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from extract import images
from extract.encoders import resnet_formats
from extract.encoders.family import Located
from extract.encoders.image import ImageEncoder
from extract.encoders.weights import PROCESSOR, read_json

if TYPE_CHECKING:
    from extract.encoders.resnet_model import ImageModel


class ResNet(ImageEncoder):
    """A ResNet: one vector an image, the last feature map's mean, or that map itself."""

    # the mean over the last feature map, or that map itself
    poolings: ClassVar[dict[str, tuple[str, ...]]] = {"image": ("pooled", "grid")}
    # resnet: a state dict, with encoder.json or without
    forms: ClassVar[tuple[str, ...]] = ("torchvision", "transformers", "resnet")

    @classmethod
    def form(cls, kind: str, path: Path) -> str:
        if path.is_file():
            return "torchvision"
        config = read_json(path / "config.json")
        return ("transformers" if config.get("model_type") == "resnet" else "") if config else "resnet"

    @classmethod
    def files(cls, kind: str, folder: Path) -> list[Path]:
        return resnet_formats.files(folder)

    @classmethod
    def settings(cls, located: Located, *, dtype: str, max_tokens: int = 0) -> dict[str, str | int]:
        settings = located.settings(dtype)
        if dtype != "float32":
            settings["stem"] = "float32, in two summands"
        if located.family == "transformers" and read_json(located.path / PROCESSOR).get("do_normalize") is False:
            settings["normalised"] = "no"  # until it was heeded, such vectors were made of normalised pixels
        return settings | {"transform": images.decode_each.transform}

    @classmethod
    def load(cls, located: Located, *, device: str, dtype: str, max_tokens: int = 0, compile: bool = False) -> "ResNet":
        """Raises Refused if the weights are not those of a ResNet."""
        from extract.encoders import resnet_model

        normalise, net = resnet_model.read_resnet(located)
        dim = resnet_model.outputs(net)
        frozen = resnet_model.freeze(net, device, dtype, compile)
        squeeze = cls.decoder(located)
        return cls(located, frozen, normalise, squeeze, dim=dim, device=device, dtype=dtype, compiled=compile)

    @classmethod
    def unfrozen(cls, located: Located) -> "ImageModel":
        from extract.encoders import resnet_model

        return resnet_model.ImageModel(*resnet_model.read_resnet(located))

    @classmethod
    def decoder(cls, located: Located) -> images.Squeeze:
        return images.decode_each
