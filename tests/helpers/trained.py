"""A small dataset, its features by fake encoders, and heads trained on them: where predict, submit and serve begin."""

import json
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_encoders import FakeImage, FakeText
from PIL import Image

from experiments import compare
from extract import encoders as real
from extract.__main__ import main as extract
from extract.dataset import Meme, read_split
from extract.encoders import catalogue
from extract.encoders.family import Located
from heads.models import HEADS

SIZES = {"train": 40, "dev": 20, "test": 12}
QUICK = {"hidden": 8, "batch_size": 16, "learning_rate": 1e-2, "max_epochs": 4}
TEXT = Located("all-MiniLM-L6-v2", "all-MiniLM-L6-v2", "text", "transformers", Path("/none"), "cls", "aa" * 32, "PyPI")
IMAGE = Located("resnet50-keras", "resnet50-keras", "image", "resnet", Path("/none"), "pooled", "bb" * 32, "npm")


class Encoders:
    """Stand in for all real ones. `found` is what the catalogue finds; counts what is loaded and encoded."""

    def __init__(self) -> None:
        self.found = {"text": TEXT, "image": IMAGE}
        self.asked: list[str] = []
        self.loaded: list[str] = []
        self.texts = 0
        self.images = 0

    def locate(self, kind: str, name: str) -> Located:
        self.asked.append(name)
        base, _, pooling = name.partition(":")
        return replace(self.found[kind], name=base, pooling=pooling or self.found[kind].pooling)

    def load(self, located: Located, **how: object) -> FakeText | FakeImage:
        self.loaded.append(located.kind)
        fake: FakeText | FakeImage = FakeText() if located.kind == "text" else FakeImage()
        encode = fake.encode

        def counted(batch):
            if located.kind == "text":
                self.texts += len(batch)
            else:
                self.images += len({image.tobytes() for image in batch})  # a short batch is filled up
            return encode(batch)

        fake.encode = counted
        return fake


@contextmanager
def encoders():
    fakes = Encoders()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "locate", fakes.locate)
        patch.setattr(real, "load", fakes.load)
        yield fakes


def picture(colour: tuple[int, int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def memes(folder: Path, split: str, size: int, seed: int) -> None:
    """Ids with leading zeros, out of order; redder pictures are of label 1; two texts occur twice."""
    draw = np.random.default_rng(seed)
    (folder / "img").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in draw.permutation(size).tolist():
        name, label = f"{seed}{number:04d}", number % 2
        (folder / "img" / f"{name}.png").write_bytes(picture((60 + 90 * label + number, number, seed)))
        text = f"{split} {number - (number % 8 == 1)}"
        rows.append({"id": f"0{name}", "img": f"img/{name}.png", "text": text, "label": label})
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def compared(folder: Path, split: str = "test") -> dict[str, dict[str, float]]:
    """By head and id: the mean of the probabilities that compare wrote for each seed."""
    table = pd.read_csv(folder / "reports" / f"predictions_{split}.csv", dtype={"id": str})
    means = table.groupby(["head", "id"])["probability"].mean()
    return {head: means[head].to_dict() for head in table["head"].unique()}


def first_meme(folder: Path) -> Meme:
    return read_split(folder / "data", "test").memes[0]


def everything(folder: Path, *options: str) -> Path:
    """data/, features/ and reports/ under `folder`, which is returned. Fake encoders must be in place.

    options: more of compare's.
    """
    for seed, (split, size) in enumerate(SIZES.items(), 1):
        memes(folder / "data", split, size, seed)
    named = ["--text-encoder", TEXT.name, "--image-encoder", IMAGE.name, "--device", "cpu", "--quiet"]
    assert extract(["--data", str(folder / "data"), "--features", str(folder / "features"), *named]) == 0
    (folder / "choice.json").write_text(json.dumps({"heads": dict.fromkeys(HEADS, QUICK)}))
    quick = ["--from-sweep", str(folder / "choice.json"), "--device", "cpu", "--seeds", "3", "--references", "none"]
    compare.main(["--features", str(folder / "features"), "--out", str(folder / "reports"), *quick, *options])
    return folder
