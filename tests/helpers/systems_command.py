"""What is typed to run a system on a small folder, what it leaves, what makes it quick, and memes without vectors."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.data import Split
from experiments.systems import encoders, results, run
from experiments.systems.published import SYSTEMS
from extract import store
from heads.settings import HeadSettings


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def label_and_probability(run: Path, meme: str) -> str:
    """What is said of a meme of test whose probabilities a run has written: their mean, and on which side it falls."""
    table = pd.read_csv(run / "predictions_test.csv", dtype={"id": str})
    mean, result = table[table["id"] == meme]["probability"].mean(), results.read_result(run)
    assert result is not None
    return f"label {int(mean >= result.threshold)}: probability {mean:.3f}".replace("0.", ".", 1)


def asked(folder: Path, *more: str) -> list[str]:
    where = ["--data", str(folder / "data"), "--features", str(folder / "features"), "--out", str(folder / "reports")]
    return [*where, "--device", "cpu", "--dtype", "float32", *more]


def tiny(folder: Path, *more: str) -> list[str]:
    return asked(folder, "--text-encoder", str(folder / "bert"), "--image-encoder", str(folder / "resnet"), *more)


def quicken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few buckets for fastText, one seed and few epochs for what is frozen."""
    monkeypatch.setattr(
        run.training, "runs", lambda heads, seeds, _: {head: [HeadSettings(max_epochs=2)] * seeds for head in heads}
    )
    monkeypatch.setattr(run, "OWN_SEEDS", 1)
    monkeypatch.setattr(run, "FROZEN_SEEDS", 2)
    monkeypatch.setitem(encoders.CBOW, "bucket", 1000)
    for name, system in SYSTEMS.items():
        settings = {
            key: replace(setting, training=replace(setting.training, epochs=2))
            for key, setting in system.settings.items()
        }
        monkeypatch.setitem(SYSTEMS, name, replace(system, settings=settings))


def split_of(ids: np.ndarray, label: np.ndarray, text: np.ndarray, image: np.ndarray, name: str = "test") -> Split:
    """Memes of these contents, without vectors."""
    nothing = np.zeros((len(ids), 0), np.float32)
    sides = [
        store.Features(
            store.EncoderIdentity(kind, kind, 0, "", {}, {}), name, ids, label.astype(np.int8), content, [],
            vector=nothing,
        )
        for kind, content in (("text", text), ("image", image))
    ]  # fmt: skip
    return Split(store.join(*sides))
