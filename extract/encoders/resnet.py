"""ResNets as image encoders: torchvision's, transformers', any state dict. Importing takes no torch; loading does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extract import images
from extract.encoders import resnet_formats
from extract.encoders.family import Located
from extract.encoders.resnet_formats import PROCESSOR
from extract.encoders.weights import read_json
from extract.machine import FLOAT32

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from extract.encoders.resnet_model import ImageModel, Normalise


class ResNet:
    """A ResNet: one vector an image, the last feature map's mean, or that map itself."""

    # the mean over the last feature map, or that map itself
    poolings: ClassVar[dict[str, tuple[str, ...]]] = {"image": ("pooled", "grid")}
    # resnet: a state dict, with encoder.json or without
    forms: ClassVar[tuple[str, ...]] = ("torchvision", "transformers", "resnet")
    longest = 1

    def __init__(
        self,
        located: Located,
        net: "nn.Module",
        normalise: "Normalise",
        *,
        dim: int,
        device: "torch.device",
        dtype: "torch.dtype",
        compiled: bool = False,
    ) -> None:
        from extract.encoders.transfers import Upload

        self.located = located
        self.dim, self.device, self.dtype = dim, device, dtype
        # compiled anew for every shape, with kernels of its own; a GPU's libraries choose theirs by shape as well
        self.row_by_row = None if device.type == "cpu" and not compiled else False
        self._net = net
        self._upload = Upload(device)
        self._normalise = normalise.to(device)

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
        settings: dict[str, str | int] = {
            "weights": located.weights,
            "family": located.family,
            "pooling": located.pooling,
            "precision": dtype,
        }
        if dtype != "float32":
            settings["stem"] = "float32, in two summands"
        if located.family == "transformers" and read_json(located.path / PROCESSOR).get("do_normalize") is False:
            settings["normalised"] = "no"  # until it was heeded, such vectors were made of normalised pixels
        return settings | {"transform": images.TRANSFORM}

    @classmethod
    def load(cls, located: Located, *, device: str, dtype: str, max_tokens: int = 0, compile: bool = False) -> "ResNet":
        """Raises Refused if the weights are not those of a ResNet."""
        import torch

        from extract.encoders import resnet_model

        normalise, net = resnet_model.read(located)
        dim = resnet_model.outputs(net)
        frozen = resnet_model.freeze(net, device, dtype, compile)
        where = {"device": torch.device(device), "dtype": getattr(torch, dtype)}
        return cls(located, frozen, normalise, dim=dim, compiled=compile, **where)

    @classmethod
    def unfrozen(cls, located: Located) -> "ImageModel":
        from extract.encoders import resnet_model

        return resnet_model.ImageModel(*resnet_model.read(located))

    @classmethod
    def decoder(cls, located: Located) -> Callable[[list[bytes]], list[Any]]:
        return images.decode_each

    def prepare(self, contents: list[bytes]) -> list[Any]:
        """[224, 224, 3] uint8 RGB of each image file, or images.Undecodable."""
        return images.decode_each(contents)

    def length(self, content: np.ndarray) -> int:
        return 1

    def encode(self, batch: Sequence[np.ndarray]) -> "Tensor":
        """Vectors [batch, dim] on the encoder's device: pooled, or a grid's rows [7 * 7 * channels]."""
        import torch

        if not batch:
            return torch.empty(0, self.dim, device=self.device)
        return self.vectors(self._upload(batch).permute(0, 3, 1, 2))  # NHWC in memory: channels last

    def vectors(self, pixels: "Tensor") -> "Tensor":
        """As `encode`. pixels: [batch, 3, 224, 224] uint8 RGB, on the CPU or already on the device."""
        import torch

        with torch.inference_mode(), FLOAT32.products():
            image = self._normalise(pixels.to(self.device, non_blocking=True))
            return self._net(image.contiguous(memory_format=torch.channels_last)).float()
