"""Small features folders with a signal of our choosing, for tests of stage 2."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from extract import store

SIZES = {"train": 240, "dev": 120, "test": 120}
TEXT, IMAGE = "tiny-bert", "tiny-resnet"  # folders
DIMS = {TEXT: 6, IMAGE: 9}


def digest(word: object) -> str:
    return hashlib.sha256(str(word).encode()).hexdigest()


def features(
    folder: Path,
    sizes: Mapping[str, int] = SIZES,
    signal: str = "both",
    seed: int = 0,
    shuffle: int = 0,
    label: Mapping[str, int] | None = None,
    names: tuple[str, str] = (TEXT, IMAGE),
) -> Path:
    """Publish both encoders' splits under `folder` and return it.

    signal: "text" (only text tells the label), "both" (each tells a part), "xor" (only the pair tells it).
    shuffle: another number writes the same memes in another order. label: splits whose labels are all one number.
    Every fourth meme repeats the text of the one before it; every tenth test image occurs in train.
    """
    for number, (split, size) in enumerate(sizes.items()):
        draw = np.random.default_rng([seed, number])
        says, shows = draw.integers(0, 2, (2, size)) * 2 - 1
        score = {"text": says, "both": says + shows + draw.normal(size=size), "xor": says * shows}[signal]
        truth = (score > 0).astype(np.int8)
        if label and split in label:
            truth[:] = label[split]
        ids = np.array([f"{split}-{row:04d}" for row in range(size)])
        texts = [digest(f"text {split} {row - (row % 4 == 3)}") for row in range(size)]
        images = [digest(f"image {'train' if row % 10 == 0 else split} {row}") for row in range(size)]
        order = np.random.default_rng([shuffle, number]).permutation(size) if shuffle else np.arange(size)
        for name, kind, hint, content in zip(names, ("text", "image"), (says, shows), (texts, images), strict=True):
            vector = draw.normal(size=(size, DIMS.get(name, 5)), scale=0.4).astype(np.float32)
            vector[:, 0] += hint
            publish(folder, name, kind, split, ids[order], vector[order], truth[order], np.array(content)[order])
    return folder


def vectors(saved, memes: int = 7) -> list[np.ndarray]:
    """Draw vectors of the widths that a saved head takes: of texts, and of images."""
    draw = np.random.default_rng(0)
    return [draw.normal(size=(memes, saved.encoders[side].dim)).astype(np.float32) for side in ("text", "image")]


def publish(folder, name, kind, split, ids, vector, label, content, **settings) -> None:
    """One split of one encoder; `settings` join those that its fingerprint covers."""
    settings = {"name": name, "precision": "float32", **settings}
    tokens = np.array([4 + int(each[:2], 16) % 40 for each in content], np.int32) if kind == "text" else None
    store.publish(
        folder / name / f"{split}.h5",
        store.Features(
            identity=store.EncoderIdentity(
                kind, name, np.shape(vector)[1], store.fingerprint(settings), settings, versions={}
            ),
            split=split,
            ids=np.asarray(ids),
            label=np.asarray(label, np.int8),
            content=np.asarray(content, "S64"),
            dropped=[],
            tokens=tokens,
            vector=np.asarray(vector, np.float32),
        ),
    )


def rewrite(folder: Path, name: str, split: str, rows=slice(None), **changes) -> None:
    """Publish a split again with some rows only, or with other values; `settings` makes another fingerprint."""
    old = store.read(folder / name / f"{split}.h5")
    publish(
        folder,
        name,
        old.identity.kind,
        split,
        changes.get("ids", old.ids)[rows],
        changes.get("vector", np.array(old.vector))[rows],
        changes.get("label", old.label)[rows],
        old.content.astype(str)[rows],
        **changes.get("settings", {}),
    )
