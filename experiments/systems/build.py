"""A system's model: which modules its two sides are, and what stands on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from experiments.systems import fusion
from experiments.systems.fusion import Branch
from experiments.systems.published import Shape, System
from extract import encoders
from extract.encoders.family import Located

GRID = 7 * 7  # cells of an image's grid


@dataclass(frozen=True)
class Side:
    """How one modality enters: as cached vectors, or through an encoder that trains."""

    kind: str  # "text" or "image"
    name: str  # the encoder as asked for
    trains: bool
    located: Located | None  # None for fastText, which has no weights but those that are trained here
    dim: int = 0  # width of its cached vectors; 0 where there are none
    fingerprint: str = ""  # of its cached vectors, or the digest of the weights that training starts from
    settings: Mapping[str, Any] = field(default_factory=dict)  # what the fingerprint of cached vectors covers
    stand_in: bool = False  # not the encoder that was published

    @property
    def slug(self) -> str:
        """Its folder's name under features/."""
        return self.located.slug if self.located else self.name


def is_grid(image: Side) -> bool:
    return image.name.endswith(":grid")


def reads_vectors(side: Side, sides: Sequence[Side]) -> bool:
    """Frozen sides are cached; but beside a grid, words are read by the encoder, frozen or not."""
    return not side.trains and not (side.kind == "text" and is_grid(sides[1]))


def model(system: System, text: Side, image: Side, seed: int) -> nn.Module:
    """A batch -> [batch, logits]. Everything that is new is drawn from `seed`; everything that is frozen stays so."""
    torch.manual_seed(seed)
    if system.design == "transformer":
        return transformer(system.shape, text, image)
    generator = torch.Generator().manual_seed(seed)
    return fusion.Concat(branch(text), branch(image), system.shape, generator)


def branch(side: Side) -> Branch:
    """What gives one side's vector."""
    if not side.trains:
        return fusion.cached(side.kind, side.dim)
    from experiments.systems.trained_encoders import TrainedImage  # late: only what trains an encoder needs one

    assert side.located is not None
    if side.kind == "text":
        text = encoders.unfrozen(side.located)
        return Branch(("input_ids", "attention_mask"), text, text.dim)
    image = TrainedImage(side.located)
    return Branch(("pixels",), image, image.dim)


def transformer(shape: Shape, text: Side, image: Side) -> Branch:
    """Image cells before the words, one encoder on both."""
    from experiments.systems.multimodal_transformer import MultimodalTransformer

    assert text.located is not None
    module = MultimodalTransformer(
        text.located, channels=image.dim // GRID, cells=GRID, classes=shape.logits, train_text=text.trains
    )
    return Branch(("grid", "input_ids", "attention_mask"), module, shape.logits)
