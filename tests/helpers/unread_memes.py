"""Memes of which some have no text, and pictures without a manifest. A plugin for pytest."""

import json
from pathlib import Path

import memes_on_disk as disk
import pytest
from PIL import Image


def pictures(folder: Path, **colours) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in colours.items():
        Image.new("RGB", (30, 20), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    pictures(folder / "img", a="red", b="lime", c="white", d="blue", e="red")
    rows = [
        {"id": "01", "img": "img/a.png", "label": 1, "source": "über"},
        {"id": 2, "img": "/img/b.png", "text": None, "label": 0},
        {"id": "3", "img": "img/c.png"},
    ]
    typed = '{"text":  "typed\\u00e9", "id": "4", "img": "img/d.png"}\n'
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n" + typed)
    disk.rows(folder, "dev", {"id": "5", "img": "img/e.png", "text": ""})
    return folder


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]
