"""Decoding in a child: what it gives, whose death is whose fault, and whose pixels are whose."""

import hashlib

import pytest
from broken_images import OutOfReach
from PIL import Image
from poisoned_decoder import LETHAL, check, item

from extract import images
from extract.encoders.reading import BadImage
from extract.errors import Failed
from extract.plan import Item

pytest_plugins = ["poisoned_decoder"]
pytestmark = pytest.mark.usefixtures("no_child_is_left")


def test_a_child_decodes_as_this_process_does(tmp_path, child):
    good, better, bad = item(tmp_path / "a.png"), item(tmp_path / "bcd.png"), item(tmp_path / "bad.png", b"GIF")
    gone = Item("0" * 64, tmp_path / "gone.png")
    check(child, [good, bad, better, gone])
    assert list(child.decode([bad, gone], images.decode_each)) == [
        BadImage(bad.content, "not an image of a known format"),
        BadImage("0" * 64, "cannot be read: No such file or directory"),
    ]
    assert list(child.decode([], images.decode_each)) == []


@pytest.mark.parametrize("lethal", [[0], [3], [1, 2], [0, 1, 2, 3]])
def test_an_image_that_kills_its_decoder_hits_only_itself(tmp_path, child, lethal):
    items = [item(tmp_path / f"{at}.png", LETHAL if at in lethal else None) for at in range(4)]
    check(child, items)


def test_a_decoder_killed_from_outside_blames_no_image(tmp_path, child):
    items = [item(tmp_path / name) for name in ("a.png", "bc.png")]
    child.process.kill()
    child.process.wait()
    check(child, items)


def test_images_out_of_reach_are_not_bad_ones(tmp_path, child):
    with pytest.raises(Failed, match=r"^s3://memes cannot be reached$"):
        list(child.decode([item(tmp_path / "a.png"), Item("0" * 64, OutOfReach())], images.decode_each))
    check(child, [item(tmp_path / "bc.png")])


@pytest.mark.parametrize("stop", ["closed", "interrupted"])
def test_an_interrupted_decoder_never_gives_another_images_pixels(tmp_path, child, stop):
    paths = [tmp_path / f"{name}.png" for name in ("red", "green", "blue", "black", "white")]
    for path in paths:
        Image.new("RGB", (9, 5), path.stem).save(path)
    red, green, blue, black, white = (Item(hashlib.sha256(path.read_bytes()).hexdigest(), path) for path in paths)
    answers = child.decode([red, green, blue], images.decode_each)
    next(answers)
    if stop == "closed":
        answers.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            answers.throw(KeyboardInterrupt)
    check(child, [black, white])
