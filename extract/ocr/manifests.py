"""Manifests whose memes lack words, filled: all else in them stays as it is. And one for pictures that have none."""

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from extract import dataset, manifest, parquet, places
from extract.dataset import ManifestSplit
from extract.errors import Refused
from extract.files import replacing
from extract.ocr.lines import Reading
from extract.places import Place

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")  # names of files that are taken for one
UNLABELLED = "test"  # the split that pictures without a manifest become: predict, submit and extract know it


@dataclass(frozen=True)
class Manifest:
    """A split of a dataset as it lies there."""

    data: Place
    split: ManifestSplit
    lines: Sequence[bytes]  # of its JSON lines file, with those to be added; none of a Parquet file

    @property
    def file(self) -> str:
        return f"{self.split.name}.{'jsonl' if self.lines else 'parquet'}"

    @classmethod
    def of_split(cls, data: Place, name: str) -> "Manifest":
        """Raises Refused when it cannot be read."""
        split = dataset.read_split(data, name, ("image",))
        path = data / f"{name}.jsonl"
        lines = _lines(path)
        if not lines and (data / f"{name}.parquet").is_dir():
            raise Refused(
                f"{data / name}.parquet is a folder of files, into which no words are written: make it one file"
            )
        return cls(data, split, lines)

    @classmethod
    def of_pictures(cls, folder: Path) -> "Manifest":
        """Of a folder of pictures, folders in it included: a row for each that its manifest does not name yet.

        An id is the file's name without its ending, where no other picture has that.
        Raises Refused where there are none, or where the folder is a dataset already.
        """
        if not folder.is_dir():
            raise Refused(f"no folder {folder}; name a folder of pictures with --images")
        if others := [name for name in dataset.SPLITS if name != UNLABELLED and list(folder.glob(f"{name}.*"))]:
            raise Refused(f"{folder} holds a manifest for {', '.join(others)}: name it with --data")
        path = folder / f"{UNLABELLED}.jsonl"
        lines = [each.rstrip(b"\n") + b"\n" for each in _lines(path)]
        rows = [row for _, row in manifest.read_rows(lines) if isinstance(row, dict)]
        named, ids = {str(row.get("img")).lstrip("/") for row in rows}, {str(row.get("id")) for row in rows}
        names = [name for name in _pictures(folder) if name not in named]
        if not names and not lines:
            raise Refused(f"{folder} holds no picture; taken for one are {', '.join(PICTURES)}")
        for name in names:
            stem, whole = Path(name).stem, manifest.without_surrogates(name)
            unique = stem not in ids and sum(Path(other).stem == stem for other in names) == 1
            lines.append(line({"id": stem if unique else whole, "img": name}))
        return cls(folder, dataset.read_lines(lines, UNLABELLED, folder, ("image",)), lines)

    def fill(self, readings: Mapping[str, Reading], out: Place, left_out: Collection[str] = ()) -> None:
        """Write it into `out` with the words of `readings` (by id), and beside it all that was read.

        What it replaces stays beside it under its digest. left_out: ids of rows to leave out. Raises OSError, Refused.
        """
        memes = [meme for meme in self.split.memes if meme.id in readings]
        kept = out / f"{self.split.name}.ocr.jsonl"
        before = _lines_by_id(kept)
        for meme in memes:
            row = {"id": meme.id, "img": meme.image.name, "text": readings[meme.id].text, **asdict(readings[meme.id])}
            before[meme.id] = line(row)
        with replacing(kept) as aside:
            aside.write_bytes(b"".join(before[meme.id] for meme in self.split.memes if meme.id in before))
        prefix = _link_images(self, out)
        texts = {name: reading.text for name, reading in readings.items()}
        _keep_old(out, self.file)
        with replacing(out / self.file) as aside:
            if self.lines:
                aside.write_bytes(self._filled(texts, prefix, left_out))
            else:
                parquet.write_texts(places.local(self.data / self.file), aside, texts)

    def _filled(self, texts: Mapping[str, str], prefix: str, left_out: Collection[str]) -> bytes:
        lines = list(self.lines)
        for number, row in manifest.read_rows(lines):
            with suppress(ValueError):  # a fault, which stays for stage 1 to name
                if isinstance(row, ValueError):
                    continue
                name = manifest.meme_id(row)
                if name in texts or prefix:
                    img = {"img": prefix + manifest.image_name(row).lstrip("/")} if prefix else {}
                    lines[number - 1] = line(row | img | ({"text": texts[name]} if name in texts else {}))
                elif name in left_out:
                    lines[number - 1] = b""
        return b"".join(lines)


def line(row: dict[str, Any]) -> bytes:
    """A row as a person can correct it: signs of all scripts as they are."""
    return manifest.without_surrogates(json.dumps(row, ensure_ascii=False)).encode() + b"\n"


def _pictures(folder: Path) -> list[str]:
    """Paths below the folder, in order; hidden files and folders are passed over."""
    names = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        pictures = [name for name in files if name.lower().endswith(PICTURES) and not name.startswith(".")]
        names += [Path(root, name).relative_to(folder).as_posix() for name in pictures]
    return sorted(names)


def _lines(path: Place) -> list[bytes]:
    """With their ends; none where there is no file."""
    return BytesIO(path.read_bytes()).readlines() if path.is_file() else []


def _lines_by_id(path: Place) -> dict[str, bytes]:
    """What was read before."""
    lines = _lines(path)
    rows = [(number, row) for number, row in manifest.read_rows(lines) if isinstance(row, dict)]
    return {str(row.get("id")): lines[number - 1] for number, row in rows}


def _keep_old(out: Place, file: str) -> None:
    """Keep what is about to be replaced: it may be somebody's typing."""
    path = out / file
    if path.is_file():
        content = path.read_bytes()
        stem, ending = file.split(".")
        with replacing(out / f"{stem}.{hashlib.sha256(content).hexdigest()[:8]}.before-ocr.{ending}") as aside:
            aside.write_bytes(content)


def _link_images(of: Manifest, out: Place) -> str:
    """Make the images reachable from `out`, a folder of its own, by a link; return what goes before their names there.

    Raises Refused where that cannot be.
    """
    images = [meme.image for meme in of.split.memes if isinstance(meme.image, Path)]
    if out == of.data or not images:
        return ""
    assert isinstance(of.data, Path)
    assert isinstance(out, Path)
    below = all(image.is_relative_to(of.data / "img") for image in images)
    if not below and not of.lines:
        raise Refused(f"{of.data / of.file} names images outside of img/: leave out --out")
    images_there, link = (of.data / "img" if below else of.data).resolve(), out / "img"
    if link.resolve() != images_there:
        if link.exists() or link.is_symlink():
            raise Refused(
                f"{link} is there already and does not lead to {images_there}; name another folder with --out"
            )
        link.symlink_to(images_there)
    return "" if below else "img/"
