"""The heads. Each is a stack of runs, and a declaration that tables, tests, plots, sweep and predict read.

To add a head: write a class, and name it in HEADS.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heads.mlp import DropoutNoise, StackedMLP

REGRESSIONS_ON_BOTH = ("LR both", "LR balanced")


class Head(nn.Module):
    """What all heads share. Row i of both vectors is the same meme: a shuffle cannot be seen from here."""

    name: ClassVar[str]
    sides: ClassVar[tuple[str, ...]]  # what it looks at: "text", "image" or both
    fuses: ClassVar[bool]  # whether it is held against the better single modality
    adds: ClassVar[bool] = False  # whether its logit is a sum of a text term and an image term
    linear: ClassVar[tuple[str, ...]]  # the references that are logistic regressions on the vectors that it looks at

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        """hidden, depth: units of a hidden layer, and number of these. generators: one for each run."""
        super().__init__()
        for branch, inputs in self.branches(text_dim, image_dim).items():
            self.add_module(branch, StackedMLP(inputs, hidden, depth, generators))

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        """Return the inputs of each MLP that this head is made of, by the MLP's name."""
        raise NotImplementedError

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Return logits, positive for hateful, of [batch, dim] (shared by all runs) or [run, batch, dim]."""
        raise NotImplementedError

    @classmethod
    def seen(cls, text_vec: Any, image_vec: Any) -> tuple[Any, Any]:
        """Return the columns that this head looks at; of a vector that it does not, none."""
        return (
            text_vec if "text" in cls.sides else text_vec[:, :0],
            image_vec if "image" in cls.sides else image_vec[:, :0],
        )


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
    text is hateful beside one picture and harmless beside another.
    """

    name, sides, fuses, linear = "late", ("text", "image"), True, REGRESSIONS_ON_BOTH
    adds = True
    text: StackedMLP
    image: StackedMLP

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__(text_dim, image_dim, hidden, depth, generators)
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


# In the order of tables and plots.
HEADS: dict[str, type[Head]] = {
    head.name: head for head in (TextHead, ImageHead, EarlyFusionHead, LateFusionHead, MeanFusionHead)
}


def singles() -> list[str]:
    """Return the heads that do not fuse."""
    return [name for name, head in HEADS.items() if not head.fuses]


def fusions() -> list[str]:
    """Return the heads that fuse both sides."""
    return [name for name, head in HEADS.items() if head.fuses]
