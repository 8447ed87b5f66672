"""A leaderboard of two text encoders, their sum and an image encoder, on planted memes, by the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import planted
import pytest

from experiments import leaderboard, training
from extract import errors, store

OTHER = "small-bert"
SIZES = {"train": 120, "dev": 60, "test": 300}
OPTIONS = {"heads": "text,image,early", "seeds": 2, "device": "cpu"}
QUICK = {"hidden": 16, "batch_size": 32, "min_steps": 8, "max_epochs": 6}
SPEEDS = {planted.TEXT: 0.010, OTHER: 0.004, planted.IMAGE: 0.050}


def two_texts(folder, sizes=SIZES, **how):
    """Two text encoders and one image encoder of the same memes."""
    planted.features(folder, sizes, names=(OTHER, planted.IMAGE), **how)
    planted.features(folder, sizes, **how)
    return folder


def measured(folder, *names):
    for name in names:
        store.record_speed(folder / name, store.Speed(100 * SPEEDS[name], 100, "cpu", "float32", "a processor"))
    return folder


@contextmanager
def quick() -> Iterator[None]:
    """Small heads and few epochs, for compare, too."""
    runs = training.runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "runs", lambda heads, seeds, chosen: runs(heads, seeds, dict.fromkeys(heads, QUICK)))
        yield


def run(*options) -> int:
    return errors.run(lambda: leaderboard.main([str(option) for option in options]))


def ran(home: Path) -> Path:
    """Write features/ and out/ under `home`, which is returned."""
    features = measured(two_texts(home / "features"), *SPEEDS)
    sums = ["--text-encoder", f"all,{planted.TEXT}+{OTHER}"]
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    with quick():
        assert run("--features", features, "--out", home / "out", *sums, *options) == 0
    return home
