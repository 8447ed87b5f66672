"""A whole meme: scene, light, who stands in front, grain, caption, file format."""

from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Final

from PIL import Image, ImageChops

from extract.drawing import city, country
from extract.drawing.canvas import FINENESS, LIGHTS, Canvas, Light, sky, somebody
from extract.drawing.lettering import Lettering, inscribe, lettering, scaled

SCENES: Final = {"country": country.SCENES, "city": city.SCENES}
ASPECTS: Final = (1, 4 / 3, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 3 / 4, 4 / 5, 2 / 3)  # width over height
RUN_LENGTHS: Final = 3  # zlib's Z_RLE: on drawings as small as its best, in a third of the time


@dataclass(frozen=True)
class Look:
    """All of a meme's appearance that is not its topic."""

    size: tuple[int, int]  # pixels, width and height
    light: Light
    lettering: Lettering
    front: int | None  # seed of whoever stands in front; None for nobody
    grain: int  # of 256 pixels, how many are specked darker, and as many brighter
    speck: int  # by how much, of 255
    quality: int  # of a JPEG, 1 to 100


def look(rng: Random, shortest: int, longest: int) -> Look:
    """Draw an appearance whose sides lie between `shortest` and `longest` pixels."""
    aspect = rng.choice(ASPECTS)
    room = max(shortest, longest * min(aspect, 1 / aspect))
    # squared: small pictures are commoner, as among real memes, and quicker
    side = shortest + (room - shortest) * rng.random() ** 2
    size = [max(shortest, min(longest, round(x))) for x in (side * max(1, aspect), side * max(1, 1 / aspect))]
    return Look(
        size=(size[0], size[1]),
        light=rng.choice(list(LIGHTS.values())),
        lettering=lettering(rng),
        front=rng.getrandbits(32) if rng.random() < 0.6 else None,
        grain=rng.choice((0, 1, 3)),
        speck=rng.randint(5, 12),
        quality=rng.randint(78, 92),
    )


def picture(topic: str, style: Look, rng: Random) -> Image.Image:
    """A meme of this look without its caption; rng decides what happens in the scene."""
    layout = style.lettering.layout
    left, top, right, bottom = scaled(layout.scene, style.size)
    canvas = Canvas((right - left, bottom - top), style.light, rng)
    sky(canvas)
    rng.choice(SCENES[topic])(canvas)
    if style.front is not None:
        canvas.rng = Random(style.front)
        somebody(canvas)
    meme = Image.new("RGB", style.size, layout.ground)
    meme.paste(_grained(canvas.image.reduce(FINENESS), style, rng), (left, top))
    return meme


def encoded(picture: Image.Image, text: str, style: Look, ending: str) -> bytes:
    """The file of the meme that `text` makes of `picture`, which stays as it is. ending: ".png" or ".jpg"."""
    meme = picture.copy()
    inscribe(meme, text, style.lettering)
    file = BytesIO()
    if ending == ".jpg":
        meme.save(file, "JPEG", quality=style.quality)
    else:
        meme.save(file, "PNG", compress_type=RUN_LENGTHS)
    return file.getvalue()


def _grained(image: Image.Image, style: Look, rng: Random) -> Image.Image:
    if not style.grain:
        return image
    levels = [128 - style.speck] * style.grain + [128] * (256 - 2 * style.grain) + [128 + style.speck] * style.grain
    noise = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height)).point(levels)
    return ImageChops.add(image, Image.merge("RGB", (noise,) * 3), scale=1, offset=-128)
