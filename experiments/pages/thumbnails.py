"""Small pictures of memes that travel inside the page."""

import base64
import io

from PIL import Image

from experiments.glance import Picture
from experiments.pages.document import Thumbnail
from extract import images
from extract.dataset import Meme

LONGER = 200  # pixels
SHORTER = 40  # pixels at least: a strip would show nothing
QUALITY = 72  # of JPEG; about 8 kB a picture


def thumbnail(meme: Meme, picture: Picture) -> Thumbnail | None:
    """What the image encoder gets to see, stretched back to the image's own shape. None where it cannot be decoded."""
    if picture.reason:
        return None
    try:
        pixels = images.decode(meme.image.read_bytes())
    except (images.Undecodable, OSError):
        return None
    width, height = shape(picture.width, picture.height)
    out = io.BytesIO()
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode(), width, height)


def shape(width: int, height: int) -> tuple[int, int]:
    """Of a thumbnail: the longer side LONGER pixels, the other in proportion."""
    scale = LONGER / max(width, height)
    return max(SHORTER, round(width * scale)), max(SHORTER, round(height * scale))
