"""The heads: text only, image only, early fusion, late fusion and its plain mean. Each holds a stack of runs."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heads.mlp import DropoutNoise, StackedMLP


class TextHead(nn.Module):
    """An MLP on the text vector; the image is not looked at."""

    @staticmethod
    def seen(text_vec: Any, image_vec: Any) -> tuple[Any, Any]:
        """The columns that this head looks at; of a vector that it does not, none."""
        return text_vec, image_vec[:, :0]

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.text = StackedMLP(text_dim, hidden, depth, generators)

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Logits from [batch, text_dim] (shared by all runs) or [run, batch, text_dim]."""
        return self.text(text_vec, noise)


class ImageHead(nn.Module):
    """An MLP on the image vector; the text is not looked at."""

    @staticmethod
    def seen(text_vec: Any, image_vec: Any) -> tuple[Any, Any]:
        """The columns that this head looks at; of a vector that it does not, none."""
        return text_vec[:, :0], image_vec

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.image = StackedMLP(image_dim, hidden, depth, generators)

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Logits from [batch, image_dim] (shared by all runs) or [run, batch, image_dim]."""
        return self.image(image_vec, noise)


class EarlyFusionHead(nn.Module):
    """One MLP on both vectors side by side, so that a hidden unit can see what a text says and a picture shows."""

    @staticmethod
    def seen(text_vec: Any, image_vec: Any) -> tuple[Any, Any]:
        """The columns that this head looks at; of a vector that it does not, none."""
        return text_vec, image_vec

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.both = StackedMLP(text_dim + image_dim, hidden, depth, generators)

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Logits from vectors of the same memes in the same order: a shuffle cannot be seen from here."""
        return self.both(torch.cat([text_vec, image_vec], dim=-1), noise)


class MeanFusionHead(nn.Module):
    """A text MLP and an image MLP, trained together through the mean of their logits."""

    @staticmethod
    def seen(text_vec: Any, image_vec: Any) -> tuple[Any, Any]:
        """The columns that this head looks at; of a vector that it does not, none."""
        return text_vec, image_vec

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.text = StackedMLP(text_dim, hidden, depth, generators)
        self.image = StackedMLP(image_dim, hidden, depth, generators)

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Logits from vectors of the same memes in the same order: a shuffle cannot be seen from here."""
        return (self.text(text_vec, noise) + self.image(image_vec, noise)) / 2


class LateFusionHead(MeanFusionHead):
    """The same two MLPs, whose logits are added with trainable weights.

    The weights start at one half each (plain averaging). Everything trains together, through the combined logit. A sum
    of a text term and an image term cannot express that a text is hateful beside one picture and harmless beside
    another.
    """

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__(text_dim, image_dim, hidden, depth, generators)
        self.branch_weight = nn.Parameter(torch.full((len(generators), 2), 0.5))

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Logits from vectors of the same memes in the same order: a shuffle cannot be seen from here."""
        text, image = self.text(text_vec, noise), self.image(image_vec, noise)
        return self.branch_weight[:, :1] * text + self.branch_weight[:, 1:] * image


HEADS: dict[str, type[TextHead | ImageHead | EarlyFusionHead | MeanFusionHead]] = {
    "text": TextHead,
    "image": ImageHead,
    "early": EarlyFusionHead,
    "late": LateFusionHead,
    "mean": MeanFusionHead,
}
