"""A dataset folder for made-up features: the same ids and labels, hostile texts, images of every kind."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from extract import store

HOSTILE = (
    "<script>alert('text')</script>",
    "</textarea><img src=x onerror=alert(1)>",
    "a | b ** c `d` [e](http://evil.example/f) ![g](http://evil.example/h.png)",
    "{{ 7 * 7 }} {% raw %} &amp; \"quoted\" 'single'",
    "مرحبا שלום \u202eright to left\u202c 👩‍👩‍👧‍👦 Ünï",
    "",
    "wordwithoutanyspace" * 40,
)
SHAPES = ((40, 30), (30, 40), (64, 64), (200, 20))


def beside(features: Path, folder: Path, encoder: str) -> Path:
    """Write a dataset of the memes that `features` holds for one encoder, and return its folder."""
    (folder / "img").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number, (width, height) in enumerate(SHAPES):
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "img" / f"<b onclick=alert({number})>.png")
    for path in sorted((features / encoder).glob("*.h5")):
        rows = store.read(path)
        memes = enumerate(zip(rows.ids, rows.label, strict=True))
        lines = [row(str(name), int(label), place) for place, (name, label) in memes]
        (folder / f"{path.stem}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def row(name: str, label: int, place: int) -> dict[str, object]:
    found = {
        "id": name,
        "img": f"img/<b onclick=alert({place % len(SHAPES)})>.png",
        "text": HOSTILE[place % len(HOSTILE)],
    }
    return found if label < 0 else found | {"label": label}
