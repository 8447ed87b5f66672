"""Random vectors with a planted signal, published as extract publishes its own, at any number of rows."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from extract import store

BLOCK = 8192  # rows drawn at a time
STRENGTH = 2.0  # of a hint along its direction, in standard deviations of the noise on each column
WEIGHTS = {"text": 1.0, "image": 1.0, "both": 1.5, "noise": 1.2}  # of what makes a label
NAMES = {"text": "random-text", "image": "random-image"}  # folders


def publish(
    folder: Path,
    sizes: Mapping[str, int],
    dims: tuple[int, int],
    seed: int = 0,
    shard_rows: int = store.SHARD_ROWS,
) -> Path:
    """Publish `sizes` rows by split, `dims` wide (text, image), under `folder`; memory does not grow with rows.

    A text tells two things of +-1, an image two others. A label follows one of each, the product of the other two
    (which only early fusion can see) and noise.
    """
    for number, (split, size) in enumerate(sizes.items()):
        draw = np.random.default_rng([seed, number])
        told = draw.choice(np.array([-1, 1], np.int8), size=(size, 4))
        evidence = WEIGHTS["text"] * told[:, 0] + WEIGHTS["image"] * told[:, 1]
        evidence = evidence + WEIGHTS["both"] * told[:, 2] * told[:, 3] + WEIGHTS["noise"] * draw.normal(size=size)
        label = (evidence > 0).astype(np.int8)
        for side, (kind, dim) in enumerate(zip(NAMES, dims, strict=True)):
            path = folder / NAMES[kind] / f"{split}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            blocks = _blocks(told[:, side::2], _directions(dim, seed, side), [seed, number, side])
            with ExitStack() as renames:
                store.publish_split(path, _rows(kind, split, label, dim), lambda _: blocks, shard_rows, renames)  # noqa: B023
    return folder


def _directions(dim: int, seed: int, side: int) -> np.ndarray:
    """Where the two hints lie: [2, dim], the same in every split."""
    drawn = np.random.default_rng([seed, 1000 + side]).normal(size=(2, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def _blocks(hints: np.ndarray, directions: np.ndarray, seed: list[int]) -> Iterator[store.Block]:
    draw = np.random.default_rng(seed)
    for start in range(0, len(hints), BLOCK):
        part = hints[start : start + BLOCK].astype(np.float32)
        noise = draw.standard_normal((len(part), directions.shape[1]), dtype=np.float32)
        yield np.arange(start, start + len(part)), noise + STRENGTH * part @ directions


def _rows(kind: str, split: str, label: np.ndarray, dim: int) -> store.Rows:
    settings = {"name": NAMES[kind], "precision": "float32"}
    width = max(len(str(len(label))), 1)
    return store.Rows(
        identity=store.EncoderIdentity(kind, NAMES[kind], dim, store.fingerprint(settings), settings, {}),
        split=split,
        ids=np.char.add(f"{split}-", np.char.zfill(np.arange(len(label)).astype(f"U{width}"), width)),
        label=label,
        content=np.array(
            [hashlib.sha256(f"{kind} {split} {row}".encode()).hexdigest() for row in range(len(label))], "S"
        ),
        dropped=[],
        tokens=np.full(len(label), 12, np.int32) if kind == "text" else None,
    )


def best_auc() -> float:
    """AUC-ROC of the evidence without its noise: what no head can beat on many rows."""
    hints = [(t, i, x) for t in (-1, 1) for i in (-1, 1) for x in (-1, 1)]
    evidence = np.array([WEIGHTS["text"] * t + WEIGHTS["image"] * i + WEIGHTS["both"] * x for t, i, x in hints])
    hateful = np.array([(1 + math.erf(each / WEIGHTS["noise"] / math.sqrt(2))) / 2 for each in evidence])
    above = (evidence[:, None] > evidence) + 0.5 * (evidence[:, None] == evidence)
    return float(hateful @ above @ (1 - hateful) / (hateful.sum() * (1 - hateful).sum()))
