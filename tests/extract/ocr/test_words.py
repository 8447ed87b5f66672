"""An image is read once, whatever it is called; what it is, and what is in the cache, may be anything."""

from pathlib import Path

import memes_on_disk as disk
import pytest
from broken_images import Broken
from fake_reader import SICK, FakeReader, words
from PIL import Image

from extract.encoders.reading import BadImage
from extract.errors import Failed
from extract.ocr.lines import Reading
from extract.ocr.words import Words
from extract.places import digest
from extract.plan import Item


def picture(path: Path, colour, size=(30, 20), **how) -> Item:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, colour).save(path, **how)
    return Item(digest(path), path)


def test_an_image_is_read_once(tmp_path):
    items = [picture(tmp_path / "img" / f"{name}.png", name) for name in ("red", "lime", "white", "red")]
    first = words(tmp_path / "cache")
    read = list(first.read_each(items))
    assert [each.text for each in read] == ["Red, and WARM below", "vert pré below", "", "Red, and WARM below"]
    again = words(tmp_path / "cache")
    assert list(again.read_each(items)) == read
    assert again.reader.read == []
    assert oct((tmp_path / "cache").glob("*/*").__next__().stat().st_mode)[-3:] == "700"


def test_another_reader_reads_again_and_a_broken_cache_costs_time_only(tmp_path):
    items = [picture(tmp_path / "img" / "a.png", "red")]
    read = list(words(tmp_path / "cache").read_each(items))
    other = words(tmp_path / "cache", settings={"library": "another"})
    assert list(other.read_each(items)) == read
    assert len(other.reader.read) == 1
    for content in (b"", b"{", b"[]", b'{"lines": [{}]}', b"\xff"):
        for file in (tmp_path / "cache").glob("*/*/*.json"):
            file.write_bytes(content)
        third = words(tmp_path / "cache")
        assert list(third.read_each(items)) == read
        assert len(third.reader.read) == 1
    assert list(words(Path("/proc/none")).read_each(items)) == read  # nothing can be kept there


def test_boxes_are_of_the_whole_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    read = next(words().read_each([picture(tmp_path / "img" / "a.jpg", "red", (4000, 400), exif=exif)]))
    assert (read.width, read.height) == (400, 4000)
    assert read.lines[1].box == ((0, 2000), (400, 2000), (400, 4000), (0, 4000))


@pytest.mark.parametrize(("size", "mode"), [((1, 1), "RGB"), ((1, 1), "LA"), ((300, 1), "RGB"), ((1, 900), "RGBA")])
def test_any_size_and_mode_is_read(tmp_path, size, mode):
    disk.image(tmp_path / "img" / "a.png", size=size, mode=mode)
    read = next(words().read_each([Item(digest(tmp_path / "img" / "a.png"), tmp_path / "img" / "a.png")]))
    assert (read.width, read.height) == size


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "red")]
    (tmp_path / "img").mkdir()
    frames[0].save(tmp_path / "img" / "a.gif", save_all=True, append_images=frames[1:])
    read = next(words().read_each([Item(digest(tmp_path / "img" / "a.gif"), tmp_path / "img" / "a.gif")]))
    assert read.text == "blue below"


def test_bad_images_are_told_and_the_others_read(tmp_path):
    for name, content in (("empty", b""), ("foreign", b"<svg>")):
        (tmp_path / name).write_bytes(content)
    items = [Item(digest(tmp_path / name), tmp_path / name) for name in ("empty", "foreign")]
    items += [picture(tmp_path / "img" / "sick.png", SICK), picture(tmp_path / "img" / "a.png", "blue")]
    items += [Item("0" * 64, Broken(2))]  # ENOENT: it has gone since
    read = list(words(tmp_path / "cache").read_each(items))
    assert [each.reason if isinstance(each, BadImage) else each.text for each in read] == [
        "empty file",
        "not an image of a known format",
        "words cannot be read from it: shape",
        "blue below",
        "cannot be read: No such file or directory",
    ]
    with pytest.raises(Failed, match=r"/memes/img/1\.png cannot be read: Input/output error"):
        list(words().read_each([Item("0" * 64, Broken(5))]))


def test_bytes_are_read_as_files_are(tmp_path):
    item = picture(tmp_path / "img" / "a.png", "lime")
    given = Item(item.content, item.source.read_bytes())
    assert list(words().read_each([given])) == list(words().read_each([item]))


def test_no_image_needs_no_reader():
    assert list(Words(given=FakeReader()).read_each([])) == []
    assert Reading((), 1, 1).text == ""
