"""A small dataset, a tiny BERT and a tiny ResNet, for systems that run from memes to table. A plugin for pytest."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_encoders
from trained import memes

from experiments.systems import beside, fasttext, job, sides
from experiments.systems.published import SYSTEMS
from extract.__main__ import main as extract
from heads.settings import HeadSettings

SIZES = {"train": 48, "dev": 20, "test": 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """data/, a tiny BERT and a tiny ResNet."""
    folder = tmp_path_factory.mktemp("systems")
    for seed, (split, size) in enumerate(SIZES.items(), 1):
        memes(folder / "data", split, size, seed)
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
    """Stage 1 in this process, few buckets for fastText, one seed and few epochs for what is frozen."""
    monkeypatch.setattr(
        beside.training, "runs", lambda heads, seeds, _: {head: [HeadSettings(max_epochs=2)] * seeds for head in heads}
    )
    monkeypatch.setattr(sides, "stage_1", lambda arguments: extract([*arguments, "--quiet"]))
    monkeypatch.setattr(beside, "SEEDS", 1)
    monkeypatch.setattr(job, "FROZEN_SEEDS", 2)
    monkeypatch.setitem(fasttext.CBOW, "bucket", 1000)
    for name, system in SYSTEMS.items():
        settings = {
            key: replace(setting, training=replace(setting.training, epochs=2))
            for key, setting in system.settings.items()
        }
        monkeypatch.setitem(SYSTEMS, name, replace(system, settings=settings))
