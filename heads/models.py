"""The heads: those of MLPs on the vectors as they are, and HEADS, which names all that there are.

To add a head: write a class, and name it in HEADS.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heads.head import REGRESSIONS_ON_BOTH, Head
from heads.interactions import AttentionHead, CombinerHead, GatedHead, ProductHead
from heads.mlp import DropoutNoise, StackedMLP
from heads.retrieval import RetrievalHead
from heads.settings import HeadSettings

__all__ = ["HEADS", "REGRESSIONS_ON_BOTH", "Head", "fusions", "singles"]


class TextHead(Head):
    """An MLP on the text vector; the image is not looked at."""

    name, sides, fuses, linear = "text", ("text",), False, ("LR text",)
    text: StackedMLP

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"text": text_dim}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        return self.text(text_vec, noise)


class ImageHead(Head):
    """An MLP on the image vector; the text is not looked at."""

    name, sides, fuses, linear = "image", ("image",), False, ("LR image",)
    image: StackedMLP

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"image": image_dim}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        return self.image(image_vec, noise)


class EarlyFusionHead(Head):
    """One MLP on both vectors side by side, so that a hidden unit can see what a text says and a picture shows."""

    name, sides, fuses, linear = "early", ("text", "image"), True, REGRESSIONS_ON_BOTH
    both: StackedMLP

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"both": text_dim + image_dim}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        return self.both(torch.cat([text_vec, image_vec], dim=-1), noise)


class LateFusionHead(Head):
    """A text MLP and an image MLP, trained together, whose logits are added with trainable weights.

    The weights start at one half each (plain averaging). A sum of a text term and an image term cannot express that a
    text is hateful beside one picture and harmless beside another. Where nothing is of that kind it learns the terms
    from fewer memes: its units need not find out which of the other side's columns do not matter.
    """

    name, sides, fuses, linear = "late", ("text", "image"), True, REGRESSIONS_ON_BOTH
    adds = True
    text: StackedMLP
    image: StackedMLP

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator],
        projection: int = HeadSettings.projection,
    ) -> None:  # fmt: skip
        super().__init__(text_dim, image_dim, hidden, depth, generators, projection)
        self.branch_weight = nn.Parameter(torch.full((len(generators), 2), 0.5))

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"text": text_dim, "image": image_dim}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        text, image = self.text(text_vec, noise), self.image(image_vec, noise)
        return self.branch_weight[:, :1] * text + self.branch_weight[:, 1:] * image


class MeanFusionHead(Head):
    """A text MLP and an image MLP, trained together through the mean of their logits."""

    name, sides, fuses, linear = "mean", ("text", "image"), True, REGRESSIONS_ON_BOTH
    adds = True
    text: StackedMLP
    image: StackedMLP

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"text": text_dim, "image": image_dim}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        return (self.text(text_vec, noise) + self.image(image_vec, noise)) / 2


class LinearHead(Head):
    """Logistic regression on both vectors side by side, trained as the others are; what a hidden layer is worth.

    An interaction that holds among the memes of train alone cannot mislead it: a sum of columns has none.
    """

    name, sides, fuses, linear = "linear", ("text", "image"), True, REGRESSIONS_ON_BOTH
    adds, ignores = True, ("hidden", "depth", "dropout", "projection")
    both: StackedMLP

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator],
        projection: int = HeadSettings.projection,
    ) -> None:  # fmt: skip
        super().__init__(text_dim, image_dim, 0, 0, generators, projection)

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        return {"both": text_dim + image_dim}

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        return self.both(torch.cat([text_vec, image_vec], dim=-1), noise)


# In the order of tables and plots.
HEADS: dict[str, type[Head]] = {
    head.name: head
    for head in (
        TextHead, ImageHead, EarlyFusionHead, LateFusionHead, MeanFusionHead, LinearHead, ProductHead, GatedHead,
        AttentionHead, CombinerHead, RetrievalHead,
    )
}  # fmt: skip


def singles() -> list[str]:
    """Return the heads that do not fuse."""
    return [name for name, head in HEADS.items() if not head.fuses]


def fusions() -> list[str]:
    """Return the heads that fuse both sides."""
    return [name for name, head in HEADS.items() if head.fuses]
