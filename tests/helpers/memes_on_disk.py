"""Datasets written row by row and image by image, each with the fault that a test is about."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


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
