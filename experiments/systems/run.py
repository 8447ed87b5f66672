"""Run one system under one of its settings: encoders, memes, training per seed, results."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.records import write
from experiments.systems import build, gather, sides, trainer
from experiments.systems.gather import Splits
from experiments.systems.memes import Memes, undersampled
from experiments.systems.published import Setting, System
from experiments.systems.results import Result, conclude, read_result
from experiments.systems.sides import Wanted
from experiments.training import Trained
from extract import device as devices
from extract.store import replacing
from heads.metrics import best_threshold
from heads.train import HeadSettings, Rows, fit


@dataclass(frozen=True)
class Request:
    """What a user asks for, beside the system, its setting and its encoders."""

    data: Path
    features: Path
    out: Path
    seeds: int | None = None  # None: FROZEN_SEEDS, or one where an encoder trains
    rows: int | None = None  # train memes, drawn with seed 0; None: all
    steps: int | None = None  # of the optimiser, at most; None: as many as the epochs make
    device: str = "auto"
    dtype: str = "auto"  # "bfloat16" or "float32"; auto: bfloat16 where an encoder trains and the processor has it
    on_error: str = "stop"  # "skip": memes that cannot be used are left out


FROZEN_SEEDS = 5


def run(system: System, name: str, wanted: Wanted, request: Request, command: Sequence[str]) -> Result:
    """Train and score, or read what an equal run has left. `name` is a setting's.

    command: what the user typed, for messages. Raises Refused before any work for what cannot be run.
    """
    setting = replace(system.settings[name], train=wanted.train)
    located = sides.choose(system, wanted, command)
    device = devices.resolve_device(request.device)
    rows = gather.read(request.data, request.on_error)
    sides.extract(located, request.data, request.features, device, request.dtype, request.on_error, system.max_tokens)
    splits = gather.gather(rows, located, request.features, system.max_tokens)
    splits, all_train = subset(splits, setting, request.rows)
    precision = arithmetic(request, wanted, device)
    about = describe(system, name, setting, splits, request, precision)
    folder = request.out / "systems" / system.name / f"{name}-{about['key'][:8]}"
    seeds = request.seeds or (1 if wanted.train else FROZEN_SEEDS)
    done = read_result(folder)
    if done is not None and done.seeds == seeds:
        print(f"{folder}: done before; remove it to run it again", file=sys.stderr)
        return done
    if system.design == "heads":
        trained = with_heads(system, setting, splits, seeds, device)
    else:
        trained = [with_trainer(system, setting, splits, seeds, device, precision, request.steps, folder)]
    return conclude(system, name, setting, splits, all_train, trained, about, request, folder)


def subset(splits: Splits, setting: Setting, rows: int | None) -> tuple[Splits, int]:
    """Train as it is trained on: a draw of `rows` memes, then balanced. And how many memes there were."""
    train = splits.train
    if rows is not None and rows < len(train):
        drawn = np.random.default_rng(0).choice(len(train), rows, replace=False)
        train = train.take(np.sort(drawn))
    if setting.training.balance == "undersample":
        train = train.take(undersampled(train.label))
    return replace(splits, train=train), len(splits.train)


def arithmetic(request: Request, wanted: Wanted, device: str) -> str:
    """A light head gains nothing from bfloat16."""
    if request.dtype == "auto" and not wanted.train:
        return "float32"
    return devices.resolve_dtype(request.dtype, device)


def describe(
    system: System, name: str, setting: Setting, splits: Splits, request: Request, precision: str
) -> dict[str, Any]:
    """All that changes a number, seeds aside; "key" stands for it."""
    memes = [splits.train, splits.dev, *splits.tests]
    about = {
        "system": system.name,
        "setting": name,
        "training": asdict(setting.training),
        "shape": asdict(system.shape),
        "sides": [[side.name, side.fingerprint, side.trains] for side in splits.sides],
        "memes": {split.split: digest(split) for split in memes},
        "steps": request.steps,
        "precision": precision,
    }
    return about | {"key": hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}


def digest(memes: Memes) -> str:
    words = "\0".join([*memes.ids.tolist(), *map(str, memes.label.tolist())])
    return hashlib.sha256(words.encode()).hexdigest()


def with_heads(system: System, setting: Setting, splits: Splits, seeds: int, device: str) -> list[Trained]:
    """Stage 2's own heads under the system's optimiser. Adam is AdamW without decay."""
    rows = {memes.split: head_rows(memes) for memes in (splits.train, splits.dev, *splits.tests)}
    how = setting.training
    runs = [
        HeadSettings(learning_rate=how.learning_rate, weight_decay=how.weight_decay, seed=seed) for seed in range(seeds)
    ]
    found = []
    for head in system.heads:
        fitted = fit(head, rows[splits.train.split], rows[splits.dev.split], runs, device=device)
        logit = {memes.split: fitted.logits(rows[memes.split]) for memes in (splits.dev, *splits.tests)}
        described = [asdict(each) for each in runs]
        found.append(
            scored(f"{system.name} {head}", described, fitted.best_epoch.tolist(), logit, splits.dev, fitted.seconds)
        )
    return found


def head_rows(memes: Memes) -> Rows:
    return Rows(memes.array("text_vec"), memes.array("image_vec"), memes.label)


def with_trainer(
    system: System, setting: Setting, splits: Splits, seeds: int, device: str, precision: str, steps: int | None,
    folder: Path,
) -> Trained:  # fmt: skip
    """One training after the other, each with checkpoints of its own; a seed that is done is read."""
    parts, learned = [], []
    for seed in range(seeds):
        place = folder / f"seed-{seed}"
        if not (place / "learned.json").exists():
            one_seed(system, setting, splits, seed, device, precision, steps, place)
        learned.append(json.loads((place / "learned.json").read_text()))
        parts.append(load_file(place / "logits.safetensors"))
    logit = {split: torch.stack([part[split] for part in parts]) for split in parts[0]}
    settings = [
        asdict(setting.training) | asdict(system.shape) | {"seed": seed, "steps": each["steps"]}
        for seed, each in enumerate(learned)
    ]
    seconds = sum(each["seconds"] for each in learned)
    return scored(system.name, settings, [each["best_epoch"] for each in learned], logit, splits.dev, seconds)


def one_seed(
    system: System, setting: Setting, splits: Splits, seed: int, device: str, precision: str, steps: int | None,
    place: Path,
) -> None:  # fmt: skip
    """Train, and leave weights, logits and the history beside the checkpoints."""
    model = build.model(system, *splits.sides, seed=seed)
    learned = trainer.train(
        model, splits.train, splits.dev, setting.training, place / "checkpoints",
        seed=seed, device=device, steps=steps, precision=precision, label=f"{system.name} seed {seed}",
    )  # fmt: skip
    logit = {memes.split: trainer.logits(model, memes, device, precision) for memes in (splits.dev, *splits.tests)}
    for name, tensors in (("model", model.state_dict()), ("logits", logit)):
        with replacing(place / f"{name}.safetensors") as aside:
            save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, aside)
    write(place / "learned.json", json.dumps(asdict(learned), indent=1) + "\n")  # last: it says that all is there


def scored(
    name: str, settings: list[dict[str, Any]], best_epoch: list[int], logit: dict[str, Float[Tensor, "run meme"]],
    dev: Memes, seconds: float,
) -> Trained:  # fmt: skip
    """With a threshold for each run, tuned on dev."""
    threshold = best_threshold(logit[dev.split], torch.from_numpy(dev.label))
    ones = torch.ones(len(settings), dtype=torch.float64)
    return Trained(name, "system", settings, best_epoch, logit, threshold, ones, seconds, None)
