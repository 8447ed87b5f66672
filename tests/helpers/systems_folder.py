"""A small dataset, a tiny BERT and a tiny ResNet, for systems that run from memes to table. A plugin for pytest."""

import shutil
from pathlib import Path

import pytest
import tiny_encoders
from systems_command import quicken
from trained import memes

SIZES = {"train": 48, "dev": 20, "test": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """data/, a tiny BERT and a tiny ResNet."""
    folder = tmp_path_factory.mktemp("systems")
    for seed, (split, size) in enumerate(SIZES.items(), 1):
        memes(folder / "data", split, size, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_encoders, "POSITIONS", 130)  # an image's 49 cells stand before the words
        tiny_encoders.text_folder(folder / "bert")
    tiny_encoders.resnet_folder(folder / "resnet", tiny_encoders.resnet())
    return folder


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """The dataset and its encoders, to be changed."""
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def quick(monkeypatch):
    quicken(monkeypatch)
