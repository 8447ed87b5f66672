"""Every kind of image file is read right or named exactly."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from extract import images, locks
from extract.images import MAX_PIXELS, Undecodable, decode

RED, GREEN = (255, 0, 0), (0, 255, 0)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width=64, height=48, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def is_colour(pixels, colour, tolerance=3):
    return np.abs(pixels.astype(int) - np.array(colour)).max() <= tolerance


def test_whole_image_is_squeezed_as_pillow_does():
    image = noise(500, 300)
    pixels = decode(encoded(image))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "I;16"])
def test_several_sizes_are_made_of_one_decoding(monkeypatch, mode):
    """To the byte what each alone is; a way of preparing that is no squeezing is asked by itself."""
    image = noise().convert("RGBA")
    image.putalpha(noise().convert("L"))
    data = encoded(image.convert(mode) if mode != "I;16" else Image.new("I;16", (64, 48), 30000))
    sizes = [images.decode_each, images.Squeeze(32, 48, Image.Resampling.BICUBIC), images.Squeeze(32, 48)]
    alone = [decode(data, size) for size in sizes]
    opened = []
    whole = Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **how: opened.append(args) or whole(*args, **how))
    (together,) = images.transformed([data], [*sizes, lambda contents: [len(contents[0])]])
    assert together.pop() == len(data)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(opened) == 1
    bad, own = images.transformed([b"no image", data], sizes), lambda contents: [Undecodable("not mine")]
    assert isinstance(bad[0], Undecodable)
    assert isinstance(bad[1], list)
    assert str(images.transformed([data], [*sizes, own])[0]) == "not mine"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_content_counts_not_the_name(kind):
    assert is_colour(decode(encoded(Image.new("RGB", (30, 20), RED), kind)), RED)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_modes_become_rgb(mode):
    white = {"1": 1, "L": 255, "P": 255, "RGBA": (255,) * 4, "LA": (255, 255), "CMYK": (0,) * 4, "I;16": 65535}[mode]
    image = Image.new(mode, (10, 10), white)
    if mode == "P":
        image = Image.new("RGB", (10, 10), "white").quantize(4)
    assert is_colour(decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG")), (255, 255, 255))


def test_sixteen_bit_grey_keeps_its_middle():
    assert is_colour(decode(encoded(Image.new("I;16", (10, 10), 32768))), (128, 128, 128))


def test_transparency_is_read_on_white():
    clear = Image.new("RGBA", (10, 10), (*RED, 0))
    half = Image.new("RGBA", (10, 10), (*RED, 128))
    assert is_colour(decode(encoded(clear)), (255, 255, 255))
    assert is_colour(decode(encoded(half)), (255, 127, 127))
    palette = Image.new("P", (10, 10), 0)
    palette.putpalette([*RED, *GREEN])
    assert is_colour(decode(encoded(palette, transparency=0)), (255, 255, 255))


def test_an_opaque_alpha_channel_changes_nothing():
    image = noise()
    with_alpha = image.copy()
    with_alpha.putalpha(255)
    np.testing.assert_array_equal(decode(encoded(image)), decode(encoded(with_alpha)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (10, 10), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert is_colour(decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)), RED)


def test_exif_orientation_puts_words_upright():
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left half is on top
    pixels = decode(encoded(image, exif=exif))
    assert is_colour(pixels[:90], GREEN)
    assert is_colour(pixels[-90:], RED)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (20_000, 30)])
def test_extreme_sizes(size):
    assert is_colour(decode(encoded(Image.new("RGB", size, RED))), RED)


def test_94_megapixels_are_read():
    assert is_colour(decode(encoded(Image.new("L", (9_700, 9_700), 200), "BMP")), (200, 200, 200))


def test_a_bomb_is_refused_before_it_is_decoded():
    side = 20_000
    bomb = encoded(Image.new("1", (side, side)))
    assert side * side > MAX_PIXELS
    with pytest.raises(Undecodable, match=r"^20,000 x 20,000 pixels, more than 200,000,000$"):
        decode(bomb)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not an image of a known format"),
        (encoded(noise())[:2000], "(?i)truncated"),
        (encoded(noise(), "JPEG")[:1500], "image file is truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    ],
)
def test_what_cannot_be_used_is_named(data, reason):
    with pytest.raises(Undecodable, match=reason):
        decode(data)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0broken", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"no exif at all"])
def test_broken_exif_is_no_reason_to_refuse_an_image(kind, exif):
    image = noise()
    plain, broken = (decode(encoded(image, kind, **options)) for options in ({}, {"exif": exif}))
    np.testing.assert_array_equal(broken, plain)


@pytest.mark.parametrize(
    ("dtype", "darker", "brighter", "expected"),
    [
        ("uint16", 16384, 65280, (64, 255)),
        ("int16", 256, 32512, (1, 127)),
        ("int32", 0, 200, (0, 200)),  # eight bits are enough: as they are
        ("int32", 256, 65280, (1, 255)),
        ("int32", 1 << 24, 1 << 30, (1, 64)),
        ("int32", -500, 65280, (0, 255)),
        ("float32", 0.0, 1.0, (0, 255)),
        ("float32", 3.0, 200.0, (3, 200)),
        ("float32", 1000.0, 2000.0, (127, 255)),
        ("float32", -1000.0, 0.5, (0, 127)),
    ],
)
def test_grey_of_more_than_eight_bits_is_scaled(dtype, darker, brighter, expected):
    values = np.full((20, 20), darker, dtype)
    values[:, 10:] = brighter
    pixels = decode(encoded(Image.fromarray(values), "TIFF"))
    assert (pixels[100, 5, 0], pixels[100, -5, 0]) == expected


def test_unsigned_32_bits_reach_white():
    file = bytearray(encoded(Image.fromarray(np.full((4, 4), -1, np.int32)), "TIFF"))
    tag = file.index((images.SAMPLE_FORMAT).to_bytes(2, "little"))
    file[tag + 8] = 1  # unsigned, where Pillow wrote 2
    assert is_colour(decode(bytes(file)), (255, 255, 255), tolerance=0)


def test_floats_that_are_not_finite_are_named():
    with pytest.raises(Undecodable, match=r"^pixels that are not finite numbers$"):
        decode(encoded(Image.fromarray(np.array([[0, np.nan]], np.float32)), "TIFF"))


def test_many_large_images_are_not_decoded_at_once(monkeypatch):
    monkeypatch.setattr(images, "ROOM", images.Room(100))
    at_once, most, lock = [0], [0], threading.Lock()
    squeezed = images._squeezed

    def watched(image, *to):
        with lock:
            at_once[0] += image.width * image.height
            most[0] = max(most[0], at_once[0])
        threading.Event().wait(0.005)
        with lock:
            at_once[0] -= image.width * image.height
        return squeezed(image, *to)

    monkeypatch.setattr(images, "_squeezed", watched)
    files = [encoded(Image.new("RGBA", size)) for size in ((10, 10), (5, 5), (6, 10), (4, 10)) * 4]
    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(decode, [*files, b""][:-1]))) == 16
    assert 40 < most[0] <= 100
    assert images.ROOM.free == 100


@pytest.mark.parametrize(("side", "waits"), [(11, True), (10, False)])
def test_of_a_machine_s_processes_one_at_a_time_decodes_a_huge_image(tmp_path, monkeypatch, side, waits):
    monkeypatch.setattr(images, "HUGE", 100)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    file = encoded(Image.new("RGB", (side, side)))
    with ThreadPoolExecutor(1) as pool:
        with locks.alone_if(True, "huge-image"):  # as another process does; it locks another description of the file
            waiting = pool.submit(decode, file)
            with pytest.raises(TimeoutError) if waits else nullcontext():
                waiting.result(timeout=0.2 if waits else None)
        assert waiting.result().shape == (images.SIDE, images.SIDE, 3)
