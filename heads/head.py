"""What all heads share: a stack of runs, and a declaration that tables, tests, plots, sweep and predict read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from heads.mlp import DropoutNoise, StackedLinear, StackedMLP
from heads.settings import HeadSettings

REGRESSIONS_ON_BOTH = ("LR both", "LR balanced")


class Head(nn.Module):
    """What all heads share. Row i of both vectors is the same meme: a shuffle cannot be seen from here."""

    name: ClassVar[str]
    sides: ClassVar[tuple[str, ...]]  # what it looks at: "text", "image" or both
    fuses: ClassVar[bool]  # whether it is held against the better single modality
    adds: ClassVar[bool] = False  # whether its logit is a sum of a text term and an image term
    linear: ClassVar[tuple[str, ...]]  # the references that are logistic regressions on the vectors that it looks at

    ignores: ClassVar[tuple[str, ...]] = ("projection",)  # settings that change nothing here

    def __init__(
        self, text_dim: int, image_dim: int, hidden: int, depth: int, generators: Sequence[torch.Generator],
        projection: int = HeadSettings.projection,
    ) -> None:  # fmt: skip
        """hidden, depth: units of a hidden layer, and number of these. generators: one for each run."""
        super().__init__()
        self.projection = projection
        for name, (inputs, outputs) in self.projections(text_dim, image_dim).items():
            self.add_module(name, StackedLinear(inputs, outputs, generators))
        for branch, inputs in self.branches(text_dim, image_dim).items():
            self.add_module(branch, StackedMLP(inputs, hidden, depth, generators))

    def projections(self, text_dim: int, image_dim: int) -> Mapping[str, tuple[int, int]]:
        """Return inputs and outputs of each linear layer that comes before the MLPs, by its name."""
        return {}

    def branches(self, text_dim: int, image_dim: int) -> Mapping[str, int]:
        """Return the inputs of each MLP that this head is made of, by the MLP's name."""
        raise NotImplementedError

    def forward(
        self, text_vec: Tensor, image_vec: Tensor, noise: DropoutNoise | None = None
    ) -> Float[Tensor, "run batch"]:
        """Return logits, positive for hateful, of [batch, dim] (shared by all runs) or [run, batch, dim]."""
        raise NotImplementedError

    def traced(self) -> Callable[[Tensor, Tensor], Float[Tensor, "run batch"]]:
        """Return `forward` as steps that no value changes, which export writes down; most heads have no others."""
        return self

    def losses(
        self,
        text_vec: Float[Tensor, "run batch text_dim"],
        image_vec: Float[Tensor, "run batch image_dim"],
        target: Float[Tensor, "run batch"],
        row: Int[Tensor, "run batch"],
        noise: DropoutNoise | None = None,
    ) -> Float[Tensor, "run batch"]:
        """Return what training makes small, meme by meme; row: where in train a meme is."""
        logit = self(text_vec, image_vec, noise)
        return F.binary_cross_entropy_with_logits(logit, target, reduction="none")

    def image_share(self, text_vec: Tensor, image_vec: Tensor) -> Float[Tensor, "run batch"] | None:
        """Return how much the image is listened to, the rest being the text's; None where no such share is made."""
        return None

    def begin_epoch(self, blocks: Iterable[tuple[Tensor, Tensor]], label: Int[Tensor, " n"]) -> None:
        """Look at train, block by block in its own order, before an epoch; most heads need not. label: on the CPU."""

    def settle(
        self,
        train: Iterable[tuple[Tensor, Tensor]],
        label: Int[Tensor, " train"],
        dev: Iterable[tuple[Tensor, Tensor]],
        dev_label: Int[Tensor, " dev"],
    ) -> None:
        """Choose on dev what is left to choose when the weights are those of the best epoch; most heads need not."""

    @classmethod
    def remembered(cls, count: int) -> Int[Tensor, " known"]:
        """Return the places in train, of `count` memes, of those that it remembers; most heads remember none."""
        return torch.arange(0)

    def remember(
        self, more: Iterable[tuple[Tensor, Tensor]], label: Int[Tensor, " more"], without: Sequence[int]
    ) -> None:
        """Remember these memes behind the others, less those at `without`; what is remembered votes in every run."""
        raise ValueError(f"the head {self.name} remembers no memes")

    @property
    def voting(self) -> int:
        """Runs of which dev chose the vote of what they remember."""
        return 0

    def voters(
        self, text_vec: Tensor, image_vec: Tensor
    ) -> tuple[Float[Tensor, "run batch known"], Float[Tensor, "run batch known"]]:
        """Return each remembered meme's share of the vote on these, 0 where it has none, and its cosine with them."""
        raise ValueError(f"the head {self.name} remembers no memes")

    @classmethod
    def settings(cls, **asked: Any) -> HeadSettings:
        """Return the recipe with what is asked for; of what this head ignores, the default."""
        return HeadSettings(**{name: value for name, value in asked.items() if name not in cls.ignores})

    @classmethod
    def described(cls, run: HeadSettings) -> dict[str, Any]:
        """Return the settings that this head reads, seed included, by name."""
        return {name: value for name, value in asdict(run).items() if name not in cls.ignores}

    @classmethod
    def seen(cls, text_vec: Any, image_vec: Any) -> tuple[Any, Any]:
        """Return the columns that this head looks at; of a vector that it does not, none."""
        return (
            text_vec if "text" in cls.sides else text_vec[:, :0],
            image_vec if "image" in cls.sides else image_vec[:, :0],
        )
