"""An image file's bytes, held against what was planned, and its pixels; or why it gives none."""

import errno
import hashlib
import threading
from dataclasses import dataclass
from typing import Any

from extract import images
from extract.errors import Failed
from extract.machine import cores
from extract.plan import Item

# Threads that wait for bytes from elsewhere are many; of those that decode, more than cores would starve the encoder.
DECODING = threading.BoundedSemaphore(cores())
UNREAD, CHANGED = "cannot be read", "changed while it was being read"
# what the file itself can be at fault for; all else (EIO, ESTALE, EMFILE, ...) is the machine's or the network's
OF_THE_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP}


@dataclass(frozen=True)
class BadImage:
    """An image that could not be decoded, and why."""

    content: str  # sha256 in hex
    reason: str

    @property
    def unread(self) -> bool:
        """Whether the planned bytes were not found; else they were, and are no image."""
        return self.reason.startswith((UNREAD, CHANGED))


def decode(item: Item, prepare: images.Prepare) -> Any:
    """An item's pixels as `prepare` gives them, if the file still holds what was planned and is an image."""
    return pixels(item, read_planned(item), prepare)


def read_planned(item: Item) -> bytes | BadImage:
    """Its bytes, if they are still what was planned. Raises Failed for what is not the file's fault."""
    assert not isinstance(item.source, str)
    try:
        data = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
    except OSError as error:
        if error.errno in OF_THE_FILE:
            return BadImage(item.content, f"{UNREAD}: {error.strerror}")
        raise Failed(
            f"{item.source!s} {UNREAD}: {error.strerror or error}. The image is not to blame: it was read when the run "
            "began.\nFinished parts are kept; run the same command again when its disk or network is well."
        ) from None
    if hashlib.sha256(data).hexdigest() != item.content:
        return BadImage(item.content, CHANGED)
    return data


def pixels(item: Item, data: bytes | BadImage, prepare: images.Prepare) -> Any:
    """What `read_planned` read, decoded; or BadImage, where `prepare` says why not."""
    if isinstance(data, BadImage):
        return data
    with DECODING:
        (prepared,) = prepare([data])
    return BadImage(item.content, str(prepared)) if isinstance(prepared, images.Undecodable) else prepared
