"""Contents that have no vector yet through a frozen encoder, in small batches."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from extract import images, places
from extract.errors import Failed
from extract.places import Source

BATCH = {"cpu": 8, "cuda": 64}  # contents
LENGTH_STEP = 8  # word pieces: texts are padded to a multiple of this, as extract does
DECODERS = 2  # threads

Item = TypeVar("Item")
Vectors = dict[str, Float[np.ndarray, " dim"]]  # by content's digest


@runtime_checkable
class EncodesText(Protocol):
    device: torch.device
    max_tokens: int

    def tokenize(self, texts: list[str]) -> list[list[int]]: ...
    def encode(self, token_ids: list[list[int]], pad_to: int | None = None) -> Tensor: ...


@runtime_checkable
class EncodesImages(Protocol):
    device: torch.device

    def encode(self, pixels: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Content:
    """A text, or an image as its bytes or where they lie, and what it is known by."""

    digest: str  # sha256 in hex
    source: str | bytes | Source

    @classmethod
    def of_text(cls, text: str) -> "Content":
        """Half surrogate pairs become U+FFFD, as in a dataset's rows."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return cls(hashlib.sha256(text.encode()).hexdigest(), text)

    @classmethod
    def of_image(cls, image: bytes | Source) -> "Content":
        """Raises OSError when the file cannot be read."""
        if isinstance(image, bytes):
            return cls(hashlib.sha256(image).hexdigest(), image)
        return cls(places.digest(image), image)


def text_vectors(contents: Sequence[Content], encoder: EncodesText) -> Iterator[Vectors]:
    """A batch at a time. Texts of one padded length go together: how a text is padded depends on itself alone."""
    token_ids = encoder.tokenize([str(content.source) for content in contents])

    def padded(row: int) -> int:
        return min(encoder.max_tokens, max(1, -(-len(token_ids[row]) // LENGTH_STEP)) * LENGTH_STEP)

    for length, group in groupby(sorted(range(len(contents)), key=padded), key=padded):
        for batch in batched(list(group), BATCH[encoder.device.type]):
            encoded = encoder.encode([token_ids[row] for row in batch], pad_to=length)
            yield named([contents[row] for row in batch], encoded)


def image_vectors(contents: Sequence[Content], encoder: EncodesImages, bad: dict[str, str]) -> Iterator[Vectors]:
    """A batch at a time. What cannot be decoded goes to `bad`: why, by digest.

    A short batch is filled up with its last image: every batch has one shape, so that an image's vector does not depend
    on how many others came with it.
    """
    size = BATCH[encoder.device.type]
    with ThreadPoolExecutor(DECODERS) as pool:
        for batch in batched(contents, size):
            decoded = list(zip(batch, pool.map(decode, batch), strict=True))
            bad |= {content.digest: pixels for content, pixels in decoded if isinstance(pixels, str)}
            good = [(content, pixels) for content, pixels in decoded if not isinstance(pixels, str)]
            if good:
                filled = good + good[-1:] * (size - len(good))
                stacked = torch.from_numpy(np.stack([pixels for _, pixels in filled]))
                yield named([content for content, _ in good], encoder.encode(stacked.permute(0, 3, 1, 2))[: len(good)])


def decode(content: Content) -> np.ndarray | str:
    """[224, 224, 3] uint8, or why there is none."""
    try:
        assert not isinstance(content.source, str)
        data = content.source if isinstance(content.source, bytes) else content.source.read_bytes()
        if hashlib.sha256(data).hexdigest() != content.digest:
            return "changed while it was being read"
        return images.decode(data)
    except images.Undecodable as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def named(contents: Sequence[Content], encoded: Tensor) -> Vectors:
    """Raises Failed when a value is not finite."""
    vectors = encoded.float().cpu().numpy()
    if not np.isfinite(vectors).all():
        raise Failed("the encoder gave values that are not finite; try --device cpu")
    return {content.digest: vector for content, vector in zip(contents, vectors, strict=True)}


def batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
