"""One plan item's image, read and decoded, or the reason why not. Needs no torch."""

import hashlib
import os
import threading
from dataclasses import dataclass

import numpy as np

from extract import images
from extract.plan import Item

# Threads that wait for bytes from elsewhere are many; of those that decode, more than cores would starve the encoder.
DECODING = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))


@dataclass(frozen=True)
class BadImage:
    """An image that could not be decoded, and why."""

    content: str  # sha256 in hex
    reason: str


def decode(item: Item) -> np.ndarray | BadImage:
    """[224, 224, 3] uint8 RGB, if the file still holds what was planned and is an image."""
    return pixels(item, read(item))


def read(item: Item) -> bytes | BadImage:
    """Its bytes, if they are still what was planned."""
    assert not isinstance(item.source, str)
    try:
        data = item.source.read_bytes()
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
        with DECODING:
            return images.decode(data)
    except images.Undecodable as error:
        return BadImage(item.content, str(error))
