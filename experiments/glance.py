"""A dataset before any encoding: its splits, texts and images, and what they share. Of images, headers are read."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

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
class Picture:
    """What an image file's header says."""

    size: int  # bytes
    format: str = ""  # "PNG", "JPEG", ...; "" when it is no image that can be used
    mode: str = ""  # "RGB", "RGBA", "P", "L", ...
    width: int = 0  # pixels, upright
    height: int = 0
    reason: str = ""  # why it cannot be used


@dataclass(frozen=True)
class Split:
    """A split's memes, and each one's image."""

    name: str
    memes: list[Meme]
    pictures: list[Picture]
    faults: list[Fault]

    @property
    def labelled(self) -> list[Meme]:
        return [meme for meme in self.memes if meme.label is not None]

    @property
    def positive(self) -> int:
        return sum(meme.label == 1 for meme in self.memes)


@dataclass(frozen=True)
class Shared:
    """How many distinct ids, texts and image files two splits have in common."""

    one: str
    other: str
    ids: int
    texts: int
    images: int  # byte-identical


@dataclass(frozen=True)
class Glance:
    """A dataset folder."""

    folder: Place
    splits: list[Split]
    shared: list[Shared]  # pairs of splits that share anything
    both_labels: dict[str, int]  # by split: memes whose very text occurs in the split under either label

    @property
    def memes(self) -> list[Meme]:
        return [meme for split in self.splits for meme in split.memes]

    @property
    def pictures(self) -> list[Picture]:
        return [picture for split in self.splits for picture in split.pictures]

    def find(self, split: str) -> dict[str, tuple[Meme, Picture]]:
        """A split's memes and images by id; empty when there is no such split."""
        found = (each for each in self.splits if each.name == split)
        pairs = (pair for each in found for pair in zip(each.memes, each.pictures, strict=True))
        return {meme.id: (meme, picture) for meme, picture in pairs}


def look(data: Place, quiet: bool = False) -> Glance:
    """Read every split and the header of every image. Raises Refused when there is no dataset."""
    names = dataset.find_splits(data)
    if archive.unpack_images(data):
        print(f"unpacked {data / archive.ARCHIVE}", file=sys.stderr)
    read = [dataset.read(data, name) for name in names]
    paths = list(dict.fromkeys(meme.image for split in read for meme in split.memes))
    found = dict(zip(paths, pictures(paths, quiet), strict=True))
    splits = [Split(each.name, each.memes, [found[meme.image] for meme in each.memes], each.faults) for each in read]
    return Glance(data, splits, shared(splits), {split.name: with_both_labels(split.memes) for split in splits})


def pictures(paths: Sequence[Source], quiet: bool) -> Iterable[Picture]:
    with ThreadPoolExecutor(min(8, cores() + 2)) as pool:
        shown = {"unit": " images", "mininterval": 0.5, "delay": 0.5, "disable": quiet}
        yield from tqdm(pool.map(header, paths), "looking at images", len(paths), **shown)


def header(source: Source) -> Picture:
    """Read an image's header. Whether its pixels are whole shows only in `python -m extract`."""
    size = places.size(source)
    if not size:
        return Picture(size, reason="empty file")
    Image.MAX_IMAGE_PIXELS = None  # nothing is decoded here
    try:
        with Image.open(source if isinstance(source, Path) else BytesIO(source.read_bytes()), formats=FORMATS) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS:
                width, height = height, width
            return Picture(size, image.format or "", image.mode, width, height)
    except Image.UnidentifiedImageError:
        return Picture(size, reason="not an image of a known format")
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, ...
        return Picture(size, reason=str(error) or type(error).__name__)


def misnamed(splits: Sequence[Split]) -> Counter[tuple[str, str]]:
    """(ending, format) of files whose name promises another format, each meme counted."""
    found: Counter[tuple[str, str]] = Counter()
    for split in splits:
        for meme, picture in zip(split.memes, split.pictures, strict=True):
            ending = meme.image.suffix.lower()
            if picture.format and ENDINGS.get(ending, picture.format) != picture.format:
                found[ending, picture.format] += 1
    return found


def shared(splits: Sequence[Split]) -> list[Shared]:
    """Every pair of splits that has ids, texts or image files in common."""
    digest = digests(splits)
    keys = {
        "ids": {split.name: [meme.id for meme in split.memes] for split in splits},
        # memes without text have nothing in common
        "texts": {split.name: [meme.text_content for meme in split.memes if meme.text] for split in splits},
        "images": {
            split.name: [digest[meme.image] for meme in split.memes if meme.image in digest] for split in splits
        },
    }
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(keys, 0))
    for what, by_split in keys.items():
        for pair, count in dataset.overlaps(by_split).items():
            counts[pair][what] = count
    return [Shared(*pair, found["ids"], found["texts"], found["images"]) for pair, found in counts.items()]


def digests(splits: Sequence[Split]) -> dict[Source, str]:
    """sha256 of the image files that may have a twin: only files of one size can be equal, so few are read."""
    of_size: dict[int, set[Source]] = defaultdict(set)
    for split in splits:
        for meme, picture in zip(split.memes, split.pictures, strict=True):
            if picture.size:
                of_size[picture.size].add(meme.image)
    paths = {path for twins in of_size.values() if len(twins) > 1 for path in twins}
    alone = {path: str(path) for twins in of_size.values() if len(twins) == 1 for path in twins}
    with ThreadPoolExecutor(cores()) as pool:
        return alone | dict(zip(paths, pool.map(places.digest, paths), strict=True))


def with_both_labels(memes: Sequence[Meme]) -> int:
    """Memes whose very text occurs under either label: only the image can tell them apart."""
    labels: dict[str, set[int]] = defaultdict(set)
    for meme in memes:
        if meme.text and meme.label is not None:
            labels[meme.text].add(meme.label)
    return sum(meme.label is not None and len(labels[meme.text]) == 2 for meme in memes if meme.text)
