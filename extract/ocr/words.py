"""Images -> what is written on them: read once each, kept by the image's digest, all cores at work.

One file for each image in memefuse's cache, by write-then-rename: kill -9 loses the images in hand, and several
processes may use it at once. A file that is out of order costs time, never an answer.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock

from extract import images, store
from extract.encoders import reading
from extract.encoders.reading import BadImage
from extract.errors import not_installed
from extract.files import cache_root, write_text
from extract.machine import cores, in_threads
from extract.ocr.lines import Reading, in_reading_order, without_specks
from extract.ocr.reader import LIBRARIES, LONGEST, Reader, ReaderChoice
from extract.places import readers
from extract.plan import Item


def default_folder() -> Path:
    """In memefuse's own cache."""
    return cache_root() / "ocr"


@dataclass
class Words:
    """Reads the words on images. Models are loaded when the first image needs them, unless a reader is given."""

    choice: ReaderChoice = field(default_factory=ReaderChoice)
    given: Reader | None = None
    cache: Path | None = field(default_factory=default_folder)  # None: nothing is kept
    _loading: Lock = field(default_factory=Lock, init=False, repr=False)

    @classmethod
    def installed(cls, cache: Path | None) -> "Words | None":
        """The default reader's, where its package is there."""
        return None if not_installed(LIBRARIES, "ocr") else cls(cache=cache)

    @cached_property
    def reader(self) -> Reader:
        return self.given or self.choice.load()

    def ready(self) -> None:
        """Load the models. Raises Refused where they cannot be had."""
        with self._loading:
            _ = self.reader

    def read_each(self, items: Sequence[Item]) -> "Iterator[Reading | BadImage]":
        """What is written on each image, or why it cannot be used; in the order given.

        Raises Refused without the package or a model, Failed for what is not the file's fault.
        """
        self.ready()
        threads = readers(items[0].source, cores()) if items else 1
        yield from in_threads(self._read, items, threads, window=4 * threads, name="ocr")

    def _read(self, item: Item) -> Reading | BadImage:
        kept = self._file(item)
        if kept:
            with suppress(OSError, ValueError, LookupError, TypeError):
                return Reading.of_row(json.loads(kept.read_bytes()))
        read = reading.decode(item, partial(_read_whole, self.reader))
        if kept and isinstance(read, Reading):
            with suppress(OSError):
                # words can be as confidential as the memes
                kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_text(kept, json.dumps(asdict(read)))
        return read

    def _file(self, item: Item) -> Path | None:
        if self.cache is None:
            return None
        return (
            self.cache / store.fingerprint(dict(self.reader.settings))[:16] / item.content[:2] / f"{item.content}.json"
        )


def _read_whole(reader: Reader, contents: list[bytes]) -> "list[Reading | images.Undecodable]":
    """As an encoder prepares images: what is written on the only one, or why it cannot be used."""
    try:
        pixels, (width, height) = images.decode_whole(contents[0], LONGEST)
        lines = [line for line in reader(pixels) if line.text]
    except images.Undecodable as fault:
        return [fault]
    across, down = width / pixels.shape[1], height / pixels.shape[0]
    boxes = [tuple((round(across * x, 1), round(down * y, 1)) for x, y in line.box) for line in lines]
    placed = [replace(line, box=box) for line, box in zip(lines, boxes, strict=True)]
    return [Reading(tuple(in_reading_order(without_specks(placed))), width, height)]
