"""Bytes -> one decoded, transformed image. The one place that knows image formats."""

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from extract.locks import alone_if

SIDE = 224  # pixels
SAMPLE_FORMAT = 339  # TIFF's tag: 1 for unsigned integers, which is what it means where it is absent, too
MAX_PIXELS = 200_000_000  # 600 MB as RGB; Hateful Memes' largest has 94 million
HUGE = MAX_PIXELS // 8  # pixels from which on a machine's processes take turns
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")  # what is inside counts, not the file's name
# what Pillow raises for EXIF data that are broken
BROKEN_EXIF = (SyntaxError, ValueError, TypeError, LookupError, EOFError, OSError, struct.error)

Finished = TypeVar("Finished")
Prepare = Callable[[list[bytes]], Sequence[Any]]  # image files -> of each its pixels, or Undecodable


class Undecodable(ValueError):
    """Why these bytes are no image that can be used."""


class Room:
    """So many pixels may be decoded by this process's threads at a time: of RGBA some ten bytes each.

    A large image waits until enough small ones are done; it cannot wait for ever, since what reads images ahead stops
    at the one that is due.
    """

    def __init__(self, pixels: int) -> None:
        self.free, self.changed = pixels, threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: pixels <= self.free)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()


ROOM = Room(MAX_PIXELS)  # one of the largest images, or many small ones


@dataclass(frozen=True)
class Squeeze:
    """To what an encoder wants images scaled: the whole of them, not cropped, since words sit at a meme's edges.

    Called with image files' bytes, it decodes them; it can be pickled, and needs no encoder in memory.
    """

    width: int = SIDE  # pixels
    height: int = SIDE
    resample: Image.Resampling = Image.Resampling.BILINEAR  # Pillow's own, which is the same everywhere

    def __call__(self, contents: list[bytes]) -> "list[np.ndarray | Undecodable]":
        """[height, width, 3] uint8 RGB of each; in place of those that are no image why not."""
        return [made if isinstance(made, Undecodable) else made[0] for made in transformed(contents, [self])]

    @property
    def bytes(self) -> int:
        """Of one decoded image."""
        return 3 * self.width * self.height

    @property
    def transform(self) -> str:
        """Part of the fingerprint: change it whenever a pixel could change that was right."""
        scaled = f"{self.width}x{self.height} whole image, Pillow {self.resample.name.lower()}"
        return f"first frame, upright by EXIF, alpha on white, RGB, {scaled}"


decode_each = Squeeze()


def transformed(contents: list[bytes], transforms: Sequence[Prepare]) -> "list[list[np.ndarray] | Undecodable]":
    """What each transform makes of image files, or why one is no image; those that squeeze share one decoding.

    transforms: encoders' `prepare`, none equal to another.
    """
    sizes = [transform for transform in transforms if isinstance(transform, Squeeze)]

    def each(data: bytes) -> list[np.ndarray] | Undecodable:
        try:
            squeezed = dict(zip(sizes, decode_for(data, sizes), strict=True)) if sizes else {}
        except Undecodable as fault:
            return fault
        made = [
            squeezed[transform] if isinstance(transform, Squeeze) else transform([data])[0] for transform in transforms
        ]
        return next((pixels for pixels in made if isinstance(pixels, Undecodable)), made)

    return [each(data) for data in contents]


def decode(data: bytes, to: Squeeze = decode_each) -> np.ndarray:
    """The whole image, squeezed. Returns [height, width, 3] uint8 RGB.

    Raises Undecodable for empty, truncated and foreign files and for more than MAX_PIXELS pixels.
    """
    return decode_for(data, [to])[0]


def decode_for(data: bytes, sizes: Sequence[Squeeze]) -> list[np.ndarray]:
    """As `decode`, once for all sizes."""

    def squeezed(image: Image.Image) -> list[np.ndarray]:
        whole = _colours(image)
        return [np.asarray(_squeezed(whole, to)) for to in sizes]

    return _decoded(data, squeezed)


def decode_whole(data: bytes, longest: int) -> tuple[np.ndarray, tuple[int, int]]:
    """As `decode`, but not squeezed: shrunk where a side is longer than `longest` pixels.

    Returns [h, w, 3] uint8 RGB, and the width and height that the image had.
    """

    def whole(image: Image.Image) -> tuple[np.ndarray, tuple[int, int]]:
        share = min(1.0, longest / max(image.size))
        width, height = (max(1, round(share * side)) for side in image.size)
        return np.asarray(_squeezed(_colours(image), Squeeze(width, height))), image.size

    return _decoded(data, whole)


def _decoded(data: bytes, finish: Callable[[Image.Image], Finished]) -> Finished:
    """What `finish` makes of the first frame, upright and of eight bits."""
    if not data:
        raise Undecodable("empty file")
    # Pillow's own limit warns at 89 megapixels and counts per process; ours is checked below, before any decoding
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Undecodable(f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}")
            with ROOM.taken(width * height), alone_if(width * height > HUGE, "huge-image"):
                image.load()
                with suppress(*BROKEN_EXIF):  # of a JPEG, Pillow itself takes broken EXIF for none
                    ImageOps.exif_transpose(image, in_place=True)
                return finish(_scaled(image))
    except Undecodable:
        raise
    except Image.UnidentifiedImageError:
        raise Undecodable("not an image of a known format") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise Undecodable(str(error) or type(error).__name__) from None


def _scaled(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits to eight; any other image as it is.

    Integers lose their lower bits: of the least range of 8, 16 and 32 bits that holds the brightest pixel (a PNG's and
    a mode's own where they say it), the upper 8 remain. Floats up to 1 are multiplied by 255, those up to 255 stay, a
    greater maximum becomes 255. What is negative is black. Raises Undecodable for floats that are not finite.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "I":
        values = np.asarray(image)
        if image.format == "TIFF" and image.getexif().get(SAMPLE_FORMAT, 1) == 1:
            values = values.view(np.uint32)
        highest = 65535 if image.format == "PNG" else values.max()
        bits = next(bits for bits in (8, 16, 32) if highest < 1 << bits)
        return Image.fromarray((values.clip(0) >> (bits - 8)).astype(np.uint8)) if bits > 8 else image
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise Undecodable("pixels that are not finite numbers")
        highest = float(values.max())
        factor = 255 if 0 < highest <= 1 else min(1.0, 255 / max(highest, 1.0))
        return image.point(lambda value: value * factor + 0.0)
    return image


def _colours(image: Image.Image) -> Image.Image:
    """RGB; RGBA where anything is transparent."""
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _squeezed(whole: Image.Image, to: Squeeze) -> Image.Image:
    """RGB of that size. Transparency is resolved last: the same by linearity, with far less memory."""
    small = whole.resize((to.width, to.height), to.resample)
    if small.mode == "RGB":
        return small
    return Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
