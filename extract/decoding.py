"""One plan item's image, read and decoded, or the reason why not. Needs no torch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extract import images
from extract.plan import Item


@dataclass(frozen=True)
class BadImage:
    """An image that could not be decoded, and why."""

    content: str  # sha256 in hex
    reason: str


def decode(item: Item) -> np.ndarray | BadImage:
    """[224, 224, 3] uint8 RGB, if the file still holds what was planned and is an image."""
    return pixels(item, read(item))


def read(item: Item) -> bytes | BadImage:
    """The file, if it still holds what was planned."""
    try:
        data = Path(item.source).read_bytes()
    except OSError as error:
        return BadImage(item.content, f"cannot be read: {error.strerror}")
    if hashlib.sha256(data).hexdigest() != item.content:
        return BadImage(item.content, "changed while it was being read")
    return data


def pixels(item: Item, data: bytes | BadImage) -> np.ndarray | BadImage:
    """What `read` read, decoded."""
    if isinstance(data, BadImage):
        return data
    try:
        return images.decode(data)
    except images.Undecodable as error:
        return BadImage(item.content, str(error))
