"""Layers whose weights are laid out once for this CPU, and whose additions and ReLUs happen inside the product.

These are the oneDNN calls that torch.compile emits for CPUs, made by hand: no compiler is needed at run time. Of
ResNet-50 in bfloat16 they take an eighth of the time off, of BERT in float32 up to half, where PyTorch's own product is
slow on this processor.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn


def fits(device: str, dtype: str) -> bool:
    """Whether these layers can run there; elsewhere PyTorch's own do."""
    ours = device == "cpu" and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return ours and (dtype == "float32" or (dtype == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported()))


ROWS = 256  # word pieces: as fast a row as more are, and a batch that is not full is seldom filled up by many


class Then(NamedTuple):
    """What oneDNN makes of a product, by its own name, while it is at it."""

    activation: str = "none"
    numbers: Sequence[float] = ()
    way: str = ""
    scale: float = 1.0  # a: the activation that is meant is activation(a x) / a


class PackedLinear(nn.Module):
    """A linear layer for inference."""

    def __init__(self, linear: nn.Linear, rows: int | None = None, then: Then | None = None) -> None:
        """rows: of each product, padded with zeros. oneDNN sums in an order that depends on how many there are.

        then: what becomes of the product.
        """
        super().__init__()
        self.rows, self.then = rows, then or Then()
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
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, *self.then[:3])


class PackedAttention(nn.Module):
    """A nn.MultiheadAttention for inference: PyTorch's own took half of SigLIP's time in bfloat16 on a CPU."""

    def __init__(self, attention: nn.MultiheadAttention, rows: int | None = None) -> None:
        """attention: batch first, of queries, keys and values of one width."""
        super().__init__()
        self.heads = attention.num_heads
        self.projections = nn.ModuleList(
            PackedLinear(_linear(weight, bias), rows)
            for weight, bias in zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
        )
        self.out = PackedLinear(attention.out_proj, rows)

    def forward(
        self, query: Float[Tensor, "batch queries dim"], key: Float[Tensor, "batch keys dim"],
        value: Float[Tensor, "batch keys dim"],
    ) -> tuple[Float[Tensor, "batch queries dim"], None]:  # fmt: skip
        """What was attended to, and no weights."""
        split = [
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project, x in zip(self.projections, (query, key, value), strict=True)
        ]
        return self.out(nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)), None


def _linear(weight: Float[Tensor, "after before"], bias: Float[Tensor, " after"]) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear


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
    """Replace every linear layer inside `module`, activations that oneDNN has, and attention of PyTorch's own.

    rows: as PackedLinear has it.
    """
    then, perceptron = _activation(module), cast(Any, module)
    if then:
        with torch.no_grad():
            perceptron.fc1.weight.mul_(then.scale)
            perceptron.fc1.bias.mul_(then.scale)
            perceptron.fc2.weight.div_(then.scale)
        perceptron.activation_fn = nn.Identity()
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child, rows, then if name == "fc1" else None))
        elif type(child) is nn.MultiheadAttention and child.batch_first and child.in_proj_weight is not None:
            setattr(module, name, PackedAttention(child, rows))
        else:
            pack_linears(child, rows)


def _activation(module: nn.Module) -> Then | None:
    """What stands between the layers of one of transformers' perceptrons (fc1, activation_fn, fc2), if oneDNN has it.

    PyTorch's own kernels take as long for it as the product does. GELU by erf is slower in oneDNN.
    """
    from transformers.activations import GELUTanh, QuickGELUActivation

    if not (hasattr(module, "fc1") and hasattr(module, "fc2")):
        return None
    match getattr(module, "activation_fn", None):
        case GELUTanh():
            return Then("gelu", (), "tanh")
        case QuickGELUActivation():  # x sigmoid(1.702 x); swish is x sigmoid(x)
            return Then("swish", scale=1.702)
    return None
