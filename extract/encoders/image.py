"""What every family of image encoders does alike: pixels of files, batches of pixels, vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from extract.encoders.family import Located
from extract.machine import FLOAT32

if TYPE_CHECKING:
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
        device: str,
        dtype: str,
        compiled: bool = False,
    ) -> None:
        import torch

        from extract.encoders import graphs
        from extract.encoders.transfers import Upload

        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        ready = normalise.to(self.device)

        def run(pixels: "Tensor") -> "Tensor":  # knows no encoder: one that is let go of gives its memory back at once
            return net(ready(pixels).contiguous(memory_format=torch.channels_last)).float()

        self.located = located
        self.dim = dim
        # compiled anew for every shape, with kernels of its own; a GPU's libraries choose theirs by shape as well
        self.row_by_row = None if self.device.type == "cpu" and not compiled else False
        self._net = net
        self._upload = Upload(self.device)
        self.prepare = squeeze  # itself: encoders of one size share what it makes of an image
        self._run = graphs.ReplayedNetwork(run) if graphs.fits(self.device, compiled) else run

    def length(self, content: np.ndarray) -> int:
        return 1

    def encode(self, batch: np.ndarray | Sequence[np.ndarray]) -> "Tensor":
        """Vectors [batch, dim] on the encoder's device: pooled, or a grid's rows.

        batch: [batch, height, width, 3] uint8 RGB.
        """
        import torch

        if not len(batch):
            return torch.empty(0, self.dim, device=self.device)
        return self.vectors(self._upload(batch).permute(0, 3, 1, 2))  # NHWC in memory: channels last

    def vectors(self, pixels: "Tensor") -> "Tensor":
        """As `encode`. pixels: [batch, 3, height, width] uint8 RGB, on the CPU or already on the device."""
        import torch

        with torch.inference_mode(), FLOAT32.products():
            return self._run(pixels.to(self.device, non_blocking=True))
