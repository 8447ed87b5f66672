"""Layers whose weights are laid out once for this CPU, and whose additions and ReLUs happen inside the product.

These are the oneDNN calls that torch.compile emits for CPUs, made by hand: no compiler is needed at run time. Of
ResNet-50 in bfloat16 they take an eighth of the time off, of BERT in float32 up to half, where PyTorch's own product is
slow on this processor.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def fits(device: str, dtype: str) -> bool:
    """Whether these layers can run there; elsewhere PyTorch's own do."""
    ours = device == "cpu" and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return ours and (dtype == "float32" or (dtype == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported()))


ROWS = 1024  # the word pieces of a full batch of texts: 8 of 128


class PackedLinear(nn.Module):
    """A linear layer for inference."""

    def __init__(self, linear: nn.Linear, rows: int | None = None) -> None:
        """rows: of each product, padded with zeros. oneDNN sums in an order that depends on how many there are."""
        super().__init__()
        self.rows = rows
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Float[Tensor, "... before"]) -> Float[Tensor, "... after"]:
        if self.rows is None:
            return self._product(x)
        flat = x.reshape(-1, x.shape[-1])
        pieces = nn.functional.pad(flat, (0, 0, 0, -len(flat) % self.rows)).split(self.rows)
        products = [self._product(piece) for piece in pieces]
        whole = products[0] if len(products) == 1 else torch.cat(products)
        return whole[: len(flat)].reshape(*x.shape[:-1], -1)

    def _product(self, x: Float[Tensor, "... before"]) -> Float[Tensor, "... after"]:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


class PackedConv(nn.Module):
    """A convolution for inference, and what follows it."""

    def __init__(self, conv: nn.Conv2d, input_size: Sequence[int], relu: bool) -> None:
        """input_size: batch, channels, height and width to lay the weights out for; others work, but slower."""
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.shape = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self.shape, input_size)
        self.bias = None if conv.bias is None else conv.bias.detach()
        self.then = "relu" if relu else "none"

    def forward(self, x: Float[Tensor, "batch before height width"]) -> Float[Tensor, "batch after high wide"]:
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *self.shape, self.then, [], "")

    def add_relu(
        self, x: Float[Tensor, "batch before height width"], shortcut: Float[Tensor, "batch after high wide"]
    ) -> Float[Tensor, "batch after high wide"]:
        """relu(shortcut + convolution of x), written over the shortcut."""
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            shortcut, x, self.weight, self.bias, *self.shape, "add", None, "relu", [], ""
        )


def pack_linears(module: nn.Module, rows: int | None = None) -> None:
    """Replace every linear layer inside `module`. rows: as PackedLinear has it."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child, rows))
        else:
            pack_linears(child, rows)
