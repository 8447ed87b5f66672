"""Convolutions of NVIDIA's GPUs and what follows them in one kernel: no bias, sum or ReLU goes over memory again."""

import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

ALIKE = 0.05  # of the largest value: a fused kernel rounds to 8 bits once, where three round each their own


def fits(device: str, dtype: str) -> bool:
    """Whether such kernels may be had, and may be used.

    cuDNN makes them for tensor cores, which in float32 round to TF32. And their ReLU may make 0 of what is no number,
    so that in float16 an overflow would not be seen.
    """
    there = device == "cuda" and torch.version.hip is None and torch.backends.cudnn.is_available()
    return there and dtype == "bfloat16"


class FusedConv(nn.Module):
    """A convolution for inference, and what follows it: fused, if cuDNN has a kernel for it that gives the same."""

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self.conv, self.relu = conv, relu
        self.tried = False
        self.fuses = conv.weight.dtype == torch.bfloat16  # not a stem

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after high wide"]:
        return self._relu(x) if self.relu else self.conv(x)

    def add_relu(
        self, x: Float[Tensor, "batch before height width"], shortcut: Float[Tensor, "batch after high wide"]
    ) -> Float[Tensor, "batch after high wide"]:
        """relu(shortcut + convolution of x)."""
        return self._relu(x, shortcut)

    def _relu(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        if not self.fuses:
            return self._plain(x, shortcut)
        try:
            if self.tried:
                return self._fused(x, shortcut)
            expected = self._plain(x, shortcut)
            torch.full_like(expected, torch.nan)  # let go of: the result's memory, which is given as a summand of 0
            fused, self.tried = self._fused(x, shortcut), True
            if torch.allclose(fused.float(), expected.float(), rtol=0, atol=ALIKE * expected.abs().max().item()):
                return fused
            why = "other values"
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = str(error).strip().partition("\n")[0]
        self.fuses = False
        warnings.warn(f"a convolution is not fused with its ReLU, which is slower: {why}", RuntimeWarning, stacklevel=2)
        return self._plain(x, shortcut)

    def _fused(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        conv = self.conv
        how: list[Any] = [conv.stride, conv.padding, conv.dilation, conv.groups]
        if shortcut is None:
            return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, *how)
        return torch.cudnn_convolution_add_relu(x, conv.weight, shortcut, 1.0, conv.bias, *how)

    def _plain(self, x: Tensor, shortcut: Tensor | None) -> Tensor:
        convolved = self.conv(x)
        return torch.relu(convolved if shortcut is None else convolved.add_(shortcut))
