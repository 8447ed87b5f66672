"""A reader of words that need not be written: what a picture says is its first pixel's colour. White says nothing."""

import os
import time
from pathlib import Path

from extract.images import Undecodable
from extract.ocr.lines import Line
from extract.ocr.words import Words

COLOURS = {(255, 0, 0): "Red, and WARM", (0, 255, 0): "vert pré", (0, 0, 255): "blue"}
SICK = (1, 2, 3)  # the reader cannot work on it


class FakeReader:
    """Says two lines, one under the other, lower one first; counts what it reads."""

    def __init__(self, settings=None, pause=0.0):
        self.settings = settings or {"library": "fake"}
        self.pause = pause
        self.read = []

    def __call__(self, pixels):
        height, width, _ = pixels.shape
        colour = tuple(map(int, pixels[0, 0]))
        self.read.append(colour)
        time.sleep(self.pause)
        if colour == SICK:
            raise Undecodable("words cannot be read from it: shape")
        if colour == (255, 255, 255):
            return []
        said = COLOURS.get(colour, " ".join(map(str, colour)))
        return [Line("below", box(0, height / 2, width, height), 0.75), Line(said, box(0, 0, width, height / 3), 0.9)]


def box(left, top, right, bottom):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def words(cache: Path | None = None, **how) -> Words:
    return Words(given=FakeReader(**how), cache=cache)


def read_slowly(data: str) -> None:
    """In a process that is to be killed."""
    from extract.ocr.read import read_words

    read_words(Path(data), words=words(Path(os.environ["MEMEFUSE_CACHE"]) / "ocr", pause=0.2))
