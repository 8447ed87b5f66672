"""One system under one of its settings, made ready to run: what was asked for, what it reads, where it writes."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from experiments.systems.gather import Splits
from experiments.systems.memes import undersampled
from experiments.systems.published import Setting, System
from extract import machine as devices
from extract.errors import Refused
from extract.places import Place
from heads.settings import HeadSettings

FROZEN_SEEDS = 5


@dataclass(frozen=True)
class Request:
    """What a user asks for, beside the system, its setting and its encoders."""

    data: Place
    features: Place
    out: Path
    seeds: int | None = None  # None: FROZEN_SEEDS, or one where an encoder trains
    rows: int | None = None  # train memes, drawn with seed 0; None: all
    steps: int | None = None  # of the optimiser, at most; None: as many as the epochs make
    device: str = "auto"
    dtype: str = "auto"  # "bfloat16" or "float32"; auto: bfloat16 where an encoder trains and the processor has it
    on_error: str = "stop"  # "skip": memes that cannot be used are left out


@dataclass(frozen=True)
class Job:
    """All that a run needs."""

    system: System
    name: str  # of the setting
    setting: Setting  # with the encoders that really train
    splits: Splits  # train as it is trained on
    whole: Splits  # with all labelled memes that train holds
    request: Request
    device: str  # "cpu" or "cuda"

    @property
    def seeds(self) -> int:
        return self.request.seeds or (1 if self.setting.train else FROZEN_SEEDS)

    @property
    def precision(self) -> str:
        """A light head gains nothing from bfloat16; stage 2's stacks of them do."""
        if self.request.dtype == "auto" and not self.setting.train and self.system.design != "heads":
            return "float32"
        return devices.resolve_dtype(self.request.dtype, self.device)

    @property
    def recipe(self) -> HeadSettings:
        """Of stage 2's heads: Adam is AdamW without decay."""
        how = self.setting.training
        return HeadSettings(learning_rate=how.learning_rate, weight_decay=how.weight_decay)

    @property
    def key(self) -> str:
        """sha256 of all that changes a number, seeds aside: more seeds join those that were run."""
        about = {
            "system": self.system.name,
            "setting": self.name,
            "training": asdict(self.setting.training),
            "shape": asdict(self.system.shape),
            "sides": [[side.name, side.fingerprint, side.trains] for side in self.splits.sides],
            "memes": {memes.split: memes.digest() for memes in self.splits.all},
            "steps": self.request.steps,
            "precision": self.precision,
        }
        if self.system.design == "heads":
            about["recipe"] = asdict(self.recipe)
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        return run_folder(self.request.out, self.system.name, self.name, self.key)


def run_folder(out: Path, system: str, setting: str, key: str) -> Path:
    return out / "systems" / system / f"{setting}-{key[:8]}"


def subset(splits: Splits, setting: Setting, rows: int | None) -> Splits:
    """Train as it is trained on: a draw of `rows` memes, then balanced. Raises Refused if the draw has one label."""
    train = splits.train
    if rows is not None and rows < len(train):
        drawn = np.random.default_rng(0).choice(len(train), rows, replace=False)
        train = train.take(np.sort(drawn))
        if len(set(train.label.tolist())) < 2:
            raise Refused(f"--rows {rows:,} draws memes of label {train.label[0]} alone of {train.split}; draw more")
    if setting.training.balance == "undersample":
        train = train.take(undersampled(train.label))
    return replace(splits, train=train)
