"""Text and image side by side under a light head. A side is a cached vector or an encoder that may train."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from experiments.systems.published import Shape
from heads.mlp import StackedMLP


class Branch(nn.Module):
    """A module, and the entries of a batch that it is called with."""

    def __init__(self, reads: tuple[str, ...], module: nn.Module, dim: int) -> None:
        """dim: width of what `module` gives, [batch, dim]."""
        super().__init__()
        self.reads, self.module, self.dim = reads, module, dim

    def forward(self, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch dim"]:
        return self.module(*(batch[name] for name in self.reads))


def cached(side: str, dim: int) -> Branch:
    """The vectors that stage 1 made. side: "text" or "image"."""
    return Branch((f"{side}_vec",), nn.Identity(), dim)


class Projection(nn.Module):
    """A linear layer and ReLU."""

    def __init__(self, dim: int, units: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = StackedMLP(dim, 0, 0, [generator], units)

    def forward(self, vec: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch units"]:
        return torch.relu(self.linear.scores(vec)[0])


class Concat(nn.Module):
    """Both sides, each through a linear layer and ReLU if `shape` says so, then side by side through stage 2's MLP."""

    def __init__(self, text: Branch, image: Branch, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.text, self.image = text, image
        dims = [text.dim, image.dim]
        projected = [Projection(dim, shape.projection, generator) for dim in dims if shape.projection]
        self.projections = nn.ModuleList(projected)
        dims = [shape.projection] * 2 if projected else dims
        self.dropout = nn.Dropout(shape.dropout)
        self.joint = StackedMLP(sum(dims), shape.hidden, shape.depth, [generator], shape.logits)

    def forward(self, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch logits"]:
        """Row i of every entry of `batch` must be the same meme: a shuffle cannot be seen from here."""
        vecs = [self.text(batch), self.image(batch)]
        if self.projections:
            vecs = [layer(vec) for layer, vec in zip(self.projections, vecs, strict=True)]
        return self.joint.scores(torch.cat(vecs, dim=-1), self.dropout)[0]


class Classifier(nn.Module):
    """A model and its loss, as transformers' Trainer calls them."""

    accepts_loss_kwargs = False  # the loss is a mean over the batch: the Trainer divides it by the batches to a step

    def __init__(self, model: nn.Module) -> None:
        """model: a batch -> [batch, 1] or [batch, 2] logits."""
        super().__init__()
        self.model = model

    def forward(self, labels: Int[Tensor, " batch"], **batch: Tensor) -> dict[str, Tensor]:
        """{"loss": mean over the batch, "logit": [batch], positive means hateful}."""
        logits = self.model(batch)
        return {"loss": loss(logits, labels), "logit": hateful(logits)}


def loss(logits: Float[Tensor, "batch logits"], label: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Cross-entropy of two logits, binary cross-entropy of one."""
    if logits.shape[1] == 2:
        return F.cross_entropy(logits, label)
    return F.binary_cross_entropy_with_logits(logits[:, 0], label.to(logits.dtype))


def hateful(logits: Float[Tensor, "batch logits"]) -> Float[Tensor, " batch"]:
    """One logit a meme: the difference of two, whose sigmoid is the softmax's second entry."""
    return (logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]).float()
