"""Bytes -> one decoded, transformed image. The one place that knows image formats."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

SIDE = 224  # pixels
MAX_PIXELS = 200_000_000  # 600 MB as RGB; Hateful Memes' largest has 94 million
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")  # what is inside counts, not the file's name
# Part of the fingerprint: change it whenever a pixel could change.
TRANSFORM = f"first frame, upright by EXIF, alpha on white, RGB, {SIDE}x{SIDE} whole image, Pillow bilinear"


class Undecodable(ValueError):
    """Why these bytes are no image that can be used."""


def decode(data: bytes) -> np.ndarray:
    """The whole image, squeezed and not cropped, since words sit at a meme's edges. Returns [224, 224, 3] uint8 RGB.

    Raises Undecodable for empty, truncated and foreign files and for more than MAX_PIXELS pixels.
    """
    if not data:
        raise Undecodable("empty file")
    # Pillow's own limit warns at 89 megapixels and counts per process; ours is checked below, before any decoding
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Undecodable(f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}")
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_squeezed(image))
    except Undecodable:
        raise
    except Image.UnidentifiedImageError:
        raise Undecodable("not an image of a known format") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise Undecodable(str(error) or type(error).__name__) from None


def decode_each(contents: list[bytes]) -> "list[np.ndarray | Undecodable]":
    """As `decode`, of several files; in place of those that are no image why not. Needs no encoder in memory."""

    def one(data: bytes) -> np.ndarray | Undecodable:
        try:
            return decode(data)
        except Undecodable as fault:
            return fault

    return [one(data) for data in contents]


def _squeezed(image: Image.Image) -> Image.Image:
    """RGB of SIDE x SIDE. Transparency is resolved last: the same by linearity, with far less memory."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    whole = image if image.mode == mode else image.convert(mode)
    small = whole.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if not transparent:
        return small
    return Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
