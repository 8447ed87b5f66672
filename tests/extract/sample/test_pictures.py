"""What is painted: scenes in every light and shape, captions whole and in their boxes."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops
from small_sample import SMALL, WORDS, groups_of

from extract.sample import pictures
from extract.sample.pictures import BLACK, LAYOUTS, LIGHTS, SCENES, Canvas, PictureStyle, fit, inscribe, look, scaled
from extract.sample.plan import captions, plan, rng_of

pytest_plugins = ["small_sample"]


def test_memes_of_a_group_differ_in_caption_and_scene_alone(drawn: Path) -> None:
    groups = [group for group in groups_of(plan(SMALL)["train"]) if len(group) == 4 and group[0].img.endswith("png")]
    assert len(groups) == 4  # a JPEG would smear across the caption's edge
    for group in groups:
        images = {(meme.says, meme.shows): Image.open(drawn / meme.img) for meme in group}
        style = look(rng_of(SMALL, "train", group[0].group, "look"), SMALL.shortest, SMALL.longest)
        assert {image.size for image in images.values()} == {style.size}
        assert len({image.tobytes() for image in images.values()}) == 4
        for shows in WORDS["topics"]:
            difference = ImageChops.difference(images["country", shows], images["city", shows])
            for box in style.layout.captions:
                difference.paste(BLACK, scaled(box, style.size))
            assert difference.getbbox() is None


@pytest.mark.parametrize("scene", SCENES.values())
@pytest.mark.parametrize("size", [(160, 90), (90, 160)])
def test_every_scene_can_be_painted_in_every_light_and_shape(scene: Callable, size: tuple[int, int]) -> None:
    for light in LIGHTS:
        canvas = Canvas(size, light, Random(0))
        before = canvas.image.copy()
        scene(canvas)
        changed = ImageChops.difference(before, canvas.image).convert("L").point(lambda level: 255 * (level > 0))
        assert changed.histogram()[255] > 0.25 * canvas.image.width * canvas.image.height
        assert len(canvas.image.getcolors(canvas.image.width * canvas.image.height) or []) > 5


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), sides=st.tuples(st.integers(300, 900), st.integers(0, 500)))
def test_sides_lie_within_the_bounds(seed: int, sides: tuple[int, int]) -> None:
    style = look(Random(seed), sides[0], sides[0] + sides[1])
    assert all(sides[0] <= side <= sides[0] + sides[1] for side in style.size)


def test_a_meme_is_the_same_drawn_alone_or_with_its_group(drawn: Path, tmp_path: Path) -> None:
    """So a caption is written on a picture of its own, and what is left of a group can be drawn later."""
    (tmp_path / "img").mkdir()
    for meme in groups_of(plan(SMALL)["train"])[0]:
        assert pictures.draw_group(tmp_path, SMALL, [meme]) == 1
        assert (tmp_path / meme.img).read_bytes() == (drawn / meme.img).read_bytes()


LONGEST = max(
    (text for number in range(2000) for text in captions(Random(number)).values()),
    key=len,
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(300, 300), (533, 300), (300, 450), (640, 480)])
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("text", [LONGEST, "me in january: riding a horse"])
def test_captions_are_whole_and_stay_in_their_boxes(layout: str, size: tuple[int, int], upper: bool, text: str) -> None:
    boxes = LAYOUTS[layout].captions
    lettering = LAYOUTS[layout]._replace(letters=(255, 0, 0), outline=0.1)
    style = PictureStyle(size, "noon", lettering, 0.12, upper, front=None, grain=0)
    grey = Image.new("RGB", size, (90, 90, 90))
    meme = grey.copy()
    lines = inscribe(meme, text, style)
    assert " ".join(line for part in lines for line in part) == (text.upper() if upper else text[0].upper() + text[1:])
    assert len(lines) == len(boxes)
    changed = ImageChops.difference(grey, meme)
    for box in boxes:
        left, top, right, bottom = scaled(box, size)
        lettered = changed.crop((left, top, right, bottom)).getbbox()
        assert lettered is not None
        # a caption that were cut off would touch the box's edge
        assert lettered[0] > 0
        assert lettered[2] < right - left
        assert lettered[1] > 0
        assert lettered[3] < bottom - top
        changed.paste(BLACK, (left, top, right, bottom))
    assert changed.getbbox() is None


def test_letters_shrink_until_the_words_fit() -> None:
    assert fit(["A", "COW"], 400, 100, 40) == (40, ["A COW"])
    assert fit(["A", "COW"], 120, 100, 40) == (40, ["A", "COW"])
    small, lines = fit(["WHEN", "THE", "COWS", "COME", "HOME"] * 4, 300, 60, 40)
    assert small < 40
    assert " ".join(lines).split() == ["WHEN", "THE", "COWS", "COME", "HOME"] * 4
