"""What an encoder is to the rest of memefuse: the seam that every family of encoders fills with one class.

To add a family: write a class with what `Family` and `Encoder` ask for, and put it into catalogue.FAMILIES. Its module
must not import torch before `load` or `unfrozen` is called: fingerprints are told without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from extract.errors import Failed
from extract.images import Squeeze

if TYPE_CHECKING:
    import torch
    from torch import nn

MOST_UNKNOWN = 0.5  # share of word pieces; with more, most texts look alike to the encoder
FEW_TEXTS = 8  # fewer than these may well be all emoji


class Incomplete(Exception):
    """A folder does not hold such an encoder; the text says what is wrong or missing, to follow its name."""


class Foreign(Incomplete):
    """A folder holds another kind of model, whole or not: to fetch it again would not help."""


@dataclass(frozen=True)
class Located:
    """Where an encoder's weights lie on this disk, and what they are."""

    name: str  # as asked for, without pooling: "all-MiniLM-L6-v2", "org/name", "/a/folder"
    slug: str  # its folder's name under features/: "all-MiniLM-L6-v2", "org--name-mean", "folder-1a2b3c4d"
    kind: str  # "text" or "image"
    family: str  # in which form its weights are, as its class says: "transformers", "torchvision", "resnet", ...
    path: Path  # the folder; torchvision: the weights file
    pooling: str  # one of its class's: "cls", "mean", "pooler", ...; "pooled", "grid", ...
    weights: str  # sha256 over names and contents of all files that change a number
    source: str  # for people: "hub google-bert/bert-base-uncased", "PyPI ...", "torchvision", "folder"

    def settings(self, dtype: str, **more: str | int) -> dict[str, str | int]:
        """What changes a vector of any family, for a fingerprint, and what else changes it here."""
        about = {"weights": self.weights, "family": self.family, "pooling": self.pooling}
        return {**about, **more, "precision": dtype}


class Encoder(Protocol):
    """An encoder in memory. A content's vector does not depend on the contents that share its batch."""

    located: Located
    dim: int
    device: "torch.device"
    dtype: "torch.dtype"
    longest: int  # the greatest `length`
    # Whether a content's bits are known not to depend on how many share its batch (True) or to do so (False).
    # None: not known; `Batches` finds out on this processor.
    row_by_row: bool | None

    def prepare(self, contents: list[Any]) -> list[Any]:
        """Texts -> lists of token ids, specials included, not truncated.

        Image files' bytes -> arrays of decoded pixels, all of one shape, or, for those that are no image,
        images.Undecodable. Where it is an images.Squeeze, other encoders share its decoding.
        """

    def length(self, content: Any) -> int:
        """What a prepared content takes of a batch: word pieces of a text with its padding, 1 for an image.

        It depends on the content alone. Only contents of one length share a batch.
        """

    def encode(self, batch: Sequence[Any]) -> "torch.Tensor":
        """Prepared contents of one length -> vectors [batch, dim], float32, on the encoder's device.

        Images come as one array [batch, ...], in memory that is used again once their vectors are there.
        """


class TextEncoder(Encoder, Protocol):
    """A text encoder can tell, besides, what its vocabulary lacks."""

    max_tokens: int  # word pieces that a text is cut to

    def known_and_unknown(self, prepared: list[Any]) -> tuple[int, int]:
        """How many of prepared texts' word pieces, specials apart, its vocabulary has and has not."""


def unknown_pieces(texts: int, known: int, unknown: int, every: int = 0) -> str:
    """What to say of word pieces that an encoder does not know; empty if it knows all. every: where `texts` are some of
    so many."""
    if not unknown:
        return ""
    pieces = known + unknown
    of_texts = f"a sample of {texts:,} of the {every:,} texts" if texts < every else f"{texts:,} texts"
    return f"{unknown:,} of the {pieces:,} word pieces of {of_texts} ({unknown / pieces:.1%}) are unknown to it"


def refuse_unknown(texts: int, known: int, unknown: int, every: int) -> None:
    """Raise Failed where it does not know most, unless the texts are too few to tell by them. every: as above."""
    if texts >= FEW_TEXTS and unknown > MOST_UNKNOWN * (known + unknown):
        raise Failed(
            f"the text encoder: {unknown_pieces(texts, known, unknown, every)}. "
            "Its vocabulary is cut short, or not of these texts' language"
        )


class Family(Protocol):
    """What an encoder's class says before anything is loaded."""

    poolings: ClassVar[dict[str, tuple[str, ...]]]  # for each kind that it encodes, the default first
    # What Located.family may say of it. Part of fingerprints: those of two families that share a kind differ.
    forms: ClassVar[tuple[str, ...]]

    @classmethod
    def form(cls, kind: str, path: Path) -> str:
        """Which of `forms` these weights (a folder or torchvision's file) are in; empty for a stranger's."""

    @classmethod
    def files(cls, kind: str, folder: Path) -> list[Path]:
        """All files of a folder that change a number. Raises Incomplete where something is missing."""

    @classmethod
    def settings(cls, located: Located, *, dtype: str, max_tokens: int) -> dict[str, str | int]:
        """All that changes a vector, for a fingerprint.

        max_tokens: word pieces a text, specials included. Raises Refused if the encoder does not read as many.
        """

    @classmethod
    def load(cls, located: Located, *, device: str, dtype: str, max_tokens: int, compile: bool) -> Encoder:
        """Load for inference. compile: with torch.compile, slower to start.

        Raises Refused if the weights are not what the vector that is asked for needs.
        """

    @classmethod
    def unfrozen(cls, located: Located) -> "nn.Module":
        """The same network as `load` has, to go on training: in float32 on the CPU, and in eval mode as loaded.

        Its `dim` is the length of its vectors. Raises Refused as `load` does.
        """

    @classmethod
    def decoder(cls, located: Located) -> Squeeze | None:
        """`Encoder.prepare` of image files, for processes that hold no encoder. None for texts."""
