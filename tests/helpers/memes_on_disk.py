"""Datasets written row by row and image by image, each with the fault that a test is about."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from extract import dataset


def image(path: Path, size=(30, 20), mode="RGB", form="PNG", seed=0, **options) -> None:
    path.parent.mkdir(exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze() if channels == 1 else pixels, mode=None).save(path, form, **options)


def rows(folder: Path, split: str, *memes) -> None:
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(meme) + "\n" for meme in memes))


def meme(name: str, text="some words here", label=0, img=None) -> dict[str, object]:
    row = {"id": name, "img": img or f"img/{name}.png", "text": text}
    return row if label is None else row | {"label": label}


def of_every_kind(folder: Path) -> Path:
    """Write two splits that share an id, a text and an image; every kind of file."""
    image(folder / "img" / "1.png", seed=1)
    image(folder / "img" / "2.png", form="JPEG", seed=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    image(folder / "img" / "3.jpg", size=(50, 10), form="JPEG", seed=3, exif=exif)
    (folder / "img" / "4.png").write_bytes(b"")
    (folder / "img" / "5.png").write_bytes(b"not an image at all")
    (folder / "img" / "6.png").write_bytes((folder / "img" / "1.png").read_bytes())
    image(folder / "img" / "7.png", mode="RGBA", seed=7)
    rows(
        folder, "train",
        meme("1", "twice said", 1), meme("2", "twice said", 0), meme("3", "once", 1, "img/3.jpg"), meme("4"),
        meme("9"),
    )  # fmt: skip
    rows(folder, "dev_seen", meme("5", "", None), meme("6", "once", None), meme("1", "", None, "img/7.png"))
    return folder


def write_rows(folder, split, rows):
    """Rows, or lines as they are, and a file for every image that a row names."""
    (folder / "img").mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get("img"), str) and ".." not in row["img"]:
            (folder / row["img"].lstrip("/")).write_bytes(b"x")


def row(name, label: object = 0, text="words", **more):
    return {"id": name, "img": f"img/{name}.png", "label": label, "text": text, **more}


def faults(folder, split="train"):
    """Line -> what is wrong with it."""
    return {fault.line: fault.reason for fault in dataset.read_split(folder, split).faults}


def folder_with_images(folder, count=2):
    (folder / "img").mkdir(parents=True)
    for number in range(count):
        (folder / f"img/{number}.png").write_bytes(f"image {number}".encode())
    return folder


def numbered(rows):
    """Each with an id, a text and a label where it has none of its own."""
    return [
        {"id": str(number), "text": f"text {number}", "label": number % 2} | each for number, each in enumerate(rows)
    ]


def pngs(count):
    """Files' bytes, each of a colour of its own."""
    for number in range(count):
        file = io.BytesIO()
        Image.new("RGB", (9, 9), (number, 0, 0)).save(file, "PNG")
        yield file.getvalue()
