"""A dataset before any encoding: its splits, texts and images, and what they share. Of images, headers are read."""

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from extract import archive, dataset, places
from extract.dataset import Fault, Meme
from extract.images import FORMATS
from extract.machine import cores
from extract.places import Place, Source

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
ENDINGS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".gif": "GIF", ".webp": "WEBP", ".bmp": "BMP"}


@dataclass(frozen=True)
class ImageHeader:
    """What an image file's header says."""

    size: int  # bytes
    format: str = ""  # "PNG", "JPEG", ...; "" when it is no image that can be used
    mode: str = ""  # "RGB", "RGBA", "P", "L", ...
    width: int = 0  # pixels, upright
    height: int = 0
    reason: str = ""  # why it cannot be used


@dataclass(frozen=True)
class SplitSummary:
    """A split's memes, and the header of each one's image."""

    name: str
    memes: list[Meme]
    headers: list[ImageHeader]
    faults: list[Fault]  # rows that cannot be used

    @property
    def labels(self) -> Counter[int | None]:
        """How many memes have label 1, 0 and none."""
        return Counter(meme.label for meme in self.memes)

    @property
    def labelled(self) -> int:
        return self.labels[1] + self.labels[0]

    @property
    def words(self) -> np.ndarray:
        """How many words each meme's text has, shape [meme]; words are what white space separates."""
        return word_counts(self.memes)

    @property
    def texts(self) -> int:
        """How many distinct texts there are."""
        return len({meme.text for meme in self.memes})

    @property
    def without_text(self) -> int:
        return sum(not meme.text.strip() for meme in self.memes)

    @property
    def texts_with_both_labels(self) -> int:
        """How many memes have a text that occurs under either label: only the image can tell them apart."""
        labels: dict[str, set[int]] = defaultdict(set)
        for meme in self.memes:
            if meme.text and meme.label is not None:
                labels[meme.text].add(meme.label)
        return sum(meme.label is not None and len(labels[meme.text]) == 2 for meme in self.memes if meme.text)


@dataclass(frozen=True)
class Overlap:
    """How many distinct ids, texts and image files two splits have in common."""

    one: str
    other: str
    ids: int
    texts: int
    images: int  # byte-identical


@dataclass(frozen=True)
class DatasetSummary:
    """A dataset folder."""

    folder: Place
    splits: list[SplitSummary]
    overlaps: list[Overlap]  # of pairs of splits that share anything

    @property
    def memes(self) -> list[Meme]:
        return [meme for split in self.splits for meme in split.memes]

    @property
    def headers(self) -> list[ImageHeader]:
        return [header for split in self.splits for header in split.headers]

    @property
    def misnamed(self) -> Counter[tuple[str, str]]:
        """(ending, format) of files whose name promises another format, each meme counted."""
        return Counter(
            (ending, header.format)
            for meme, header in zip(self.memes, self.headers, strict=True)
            for ending in [meme.image.suffix.lower()]
            if header.format and ENDINGS.get(ending, header.format) != header.format
        )

    def find(self, split: str) -> dict[str, tuple[Meme, ImageHeader]]:
        """Return a split's memes and image headers by id; empty when there is no such split."""
        return {
            meme.id: (meme, header)
            for each in self.splits
            if each.name == split
            for meme, header in zip(each.memes, each.headers, strict=True)
        }


def summarise(data: Place, quiet: bool = True, sides: Collection[str] = dataset.SIDES) -> DatasetSummary:
    """Read every split and the header of every image. sides: what a row must have. Raises Refused without a dataset."""
    names = dataset.find_splits(data)
    if archive.unpack_images(data) and not quiet:
        print(f"unpacked {data / archive.ARCHIVE}", file=sys.stderr)
    splits = [dataset.read_split(data, name, sides) for name in names]
    files = list(dict.fromkeys(meme.image for split in splits for meme in split.memes if meme.image.name))
    headers = dict(zip(files, read_headers(files, quiet), strict=True))
    summaries = [
        SplitSummary(
            split.name, split.memes, [headers.get(meme.image, ImageHeader(0)) for meme in split.memes], split.faults
        )
        for split in splits
    ]
    return DatasetSummary(data, summaries, overlaps(summaries))


def read_headers(files: Sequence[Source], quiet: bool) -> Iterator[ImageHeader]:
    with ThreadPoolExecutor(min(8, cores() + 2)) as pool:
        shown = {"unit": " images", "mininterval": 0.5, "delay": 0.5, "disable": quiet}
        yield from tqdm(pool.map(read_header, files), "looking at images", len(files), **shown)


def read_header(file: Source) -> ImageHeader:
    """Read an image's header. Whether its pixels are whole shows only in `python -m extract`."""
    size = places.size(file)
    if not size:
        return ImageHeader(size, reason="empty file")
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded here
    try:
        with Image.open(file if isinstance(file, Path) else BytesIO(file.read_bytes()), formats=FORMATS) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS:
                width, height = height, width
            return ImageHeader(size, image.format or "", image.mode, width, height)
    except Image.UnidentifiedImageError:
        return ImageHeader(size, reason="not an image of a known format")
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, ...
        return ImageHeader(size, reason=str(error) or type(error).__name__)


def word_counts(memes: Sequence[Meme]) -> np.ndarray:
    return np.array([len(meme.text.split()) for meme in memes], dtype=int)


def overlaps(splits: Sequence[SplitSummary]) -> list[Overlap]:
    """Return what every pair of splits has in common, where it has anything."""
    digests = image_digests(splits)
    keys = {
        "ids": {split.name: [meme.id for meme in split.memes] for split in splits},
        # memes without text have nothing in common
        "texts": {split.name: [meme.text_content for meme in split.memes if meme.text] for split in splits},
        "images": {
            split.name: [digests[meme.image] for meme in split.memes if meme.image in digests] for split in splits
        },
    }
    shared: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(keys, 0))
    for kind, by_split in keys.items():
        for pair, count in dataset.overlaps(by_split).items():
            shared[pair][kind] = count
    return [Overlap(*pair, each["ids"], each["texts"], each["images"]) for pair, each in shared.items()]


def image_digests(splits: Sequence[SplitSummary]) -> dict[Source, str]:
    """Return keys that are equal for equal files: few are read, for only files of one size can be equal."""
    of_size: dict[int, set[Source]] = defaultdict(set)
    for split in splits:
        for meme, header in zip(split.memes, split.headers, strict=True):
            if header.size:
                of_size[header.size].add(meme.image)
    twins = [file for files in of_size.values() if len(files) > 1 for file in files]
    alone = {file: str(file) for files in of_size.values() if len(files) == 1 for file in files}
    with ThreadPoolExecutor(cores()) as pool:
        return alone | dict(zip(twins, pool.map(places.digest, twins), strict=True))
