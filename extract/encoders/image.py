"""What every family of image encoders does alike: pixels of files, batches of pixels, vectors."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from extract.encoders.family import Located

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from extract.encoders.resnet_model import Normalise
    from extract.images import Squeeze


class ImageEncoder:
    """A network that takes normalised pixels, and what comes before it."""

    longest = 1

    def __init__(
        self,
        located: Located,
        net: "nn.Module",
        normalise: "Normalise",
        squeeze: "Squeeze",
        *,
        dim: int,
        device: "torch.device",
        dtype: "torch.dtype",
        compiled: bool = False,
    ) -> None:
        self.located = located
        self.dim, self.device, self.dtype = dim, device, dtype
        self.row_by_row = False if compiled else None  # compiled anew for every shape, with kernels of its own
        self._net = net
        self._normalise = normalise.to(device)
        self._squeeze = squeeze

    def prepare(self, contents: list[bytes]) -> list[Any]:
        """[height, width, 3] uint8 RGB of each image file, or images.Undecodable."""
        return self._squeeze(contents)

    def length(self, content: np.ndarray) -> int:
        return 1

    def encode(self, batch: Sequence[np.ndarray]) -> "Tensor":
        """Vectors [batch, dim] on the encoder's device: pooled, or a grid's rows."""
        import torch

        if not batch:
            return torch.empty(0, self.dim, device=self.device)
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)  # NHWC in memory: channels last
        return self.vectors(pixels.pin_memory() if self.device.type == "cuda" else pixels)

    def vectors(self, pixels: "Tensor") -> "Tensor":
        """As `encode`. pixels: [batch, 3, height, width] uint8 RGB, on the CPU or already on the device."""
        import torch

        with torch.inference_mode():
            image = self._normalise(pixels.to(self.device, non_blocking=True))
            # float32 is to mean float32: cuDNN's convolutions would round their input to TF32's ten bits
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if image.is_cuda else nullcontext():
                return self._net(image.contiguous(memory_format=torch.channels_last)).float()
