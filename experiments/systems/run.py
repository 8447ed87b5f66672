"""Run one system under one of its settings: encoders, memes, training per seed, results."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.systems import build, gather, pictures, sides
from experiments.systems.job import Job, Request, subset
from experiments.systems.memes import Memes
from experiments.systems.pictures import Usable
from experiments.systems.published import FASTTEXT, System
from experiments.systems.results import Result, conclude, read_result
from experiments.systems.sides import Wanted
from experiments.training import Trained
from extract import machine as devices
from extract.errors import Refused, need
from extract.files import replacing, write_text
from extract.locks import locked
from heads.metrics import best_threshold
from heads.train import Rows, fit


def run(system: System, name: str, wanted: Wanted, request: Request, command: Sequence[str]) -> Result:
    """Train and score, or read what an equal run has left. `name` is a setting's.

    command: what the user typed, for messages. Raises Refused before any work for what cannot be run.
    """
    refuse_missing(system, wanted)
    if system.design == "heads" and request.steps is not None:
        raise Refused(f"{system.name}'s heads train until dev is best: --steps is for the other systems")
    setting = replace(system.settings[name], train=wanted.train)
    located = sides.choose(system, wanted, command)
    device = devices.resolve_device(request.device)
    rows = gather.read(request.data, request.on_error)
    usable = pictures.usable(rows, request.on_error) if located[1].trains else Usable(rows)
    sides.extract(
        located, request.data, request.features, device, request.dtype, request.on_error, system.max_tokens
    )  # fmt: skip
    splits = gather.gather(usable, located, request.features, system.max_tokens)
    on = subset(splits, setting, request.rows)
    job = Job(system, name, setting, on, splits, request, device)
    with locked(job.folder, "the same run", "--out"):
        done = read_result(job.folder)
        if done is not None and done.seeds == job.seeds:
            print(f"{job.folder}: done before; remove it to run it again", file=sys.stderr)
            return done
        trained = with_heads(job) if system.design == "heads" else [with_trainer(job)]
        return conclude(job, trained)


def refuse_missing(system: System, wanted: Wanted) -> None:
    """Raise Refused, naming the way out, unless the libraries are installed that this run takes beyond the core."""
    needed = ["accelerate"] * (system.design != "heads")
    needed += ["gensim"] * (sides.named("text", system.text, wanted) == FASTTEXT)
    need(needed, f"{system.name} needs", "systems")


def with_heads(job: Job) -> list[Trained]:
    """Stage 2's own heads under the system's optimiser. Adam is AdamW without decay."""
    rows = {memes.split: head_rows(memes) for memes in job.splits.all}
    runs = [replace(job.recipe, seed=seed) for seed in range(job.seeds)]
    train, dev = (rows[memes.split] for memes in (job.splits.train, job.splits.dev))
    found = []
    for head in job.system.heads:
        fitted = fit(head, train, dev, runs, device=job.device, precision=job.precision)
        logit = {memes.split: fitted.logits(rows[memes.split]) for memes in job.splits.scored}
        name, epochs = f"{job.system.name} {head}", fitted.best_epoch.tolist()
        found.append(scored(name, [asdict(each) for each in runs], epochs, logit, job.splits.dev, fitted.seconds))
    return found


def head_rows(memes: Memes) -> Rows:
    return Rows(memes.array("text_vec"), memes.array("image_vec"), memes.label)


def with_trainer(job: Job) -> Trained:
    """One training after the other, each with checkpoints of its own; a seed that is done is read."""
    parts, settings, epochs, seconds = [], [], [], 0.0
    for seed in range(job.seeds):
        place = job.folder / f"seed-{seed}"
        if not (place / "learned.json").exists():
            one_seed(job, seed, place)
        learned = json.loads((place / "learned.json").read_text())
        parts.append(load_file(place / "logits.safetensors"))
        epochs.append(learned["best_epoch"])
        seconds += learned["seconds"]
        how = asdict(job.setting.training) | asdict(job.system.shape)
        settings.append(how | {"seed": seed, "steps": learned["steps"]})
    logit = {split: torch.stack([part[split] for part in parts]) for split in parts[0]}
    return scored(job.system.name, settings, epochs, logit, job.splits.dev, seconds)


def one_seed(job: Job, seed: int, place: Path) -> None:
    """Train, and leave weights, logits and the history beside the checkpoints."""
    from experiments.systems import trainer  # late: what the lab's heads do not need

    model = build.model(job.system, *job.splits.sides, seed=seed)
    learned = trainer.train(
        model, job.splits.train, job.splits.dev, job.setting.training, place / "checkpoints", seed=seed,
        device=job.device, steps=job.request.steps, precision=job.precision, label=f"{job.system.name} seed {seed}",
    )  # fmt: skip
    logit = {memes.split: trainer.logits(model, memes, job.device, job.precision) for memes in job.splits.scored}
    for name, tensors in (("model", model.state_dict()), ("logits", logit)):
        with replacing(place / f"{name}.safetensors") as aside:
            save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, aside)
    write_text(place / "learned.json", json.dumps(asdict(learned), indent=1) + "\n")  # last: it says that all is there


def scored(
    name: str, settings: list[dict[str, Any]], best_epoch: list[int], logit: dict[str, Float[Tensor, "run meme"]],
    dev: Memes, seconds: float,
) -> Trained:  # fmt: skip
    """With a threshold for each run, tuned on dev."""
    threshold = best_threshold(logit[dev.split], torch.from_numpy(dev.label))
    ones = torch.ones(len(settings), dtype=torch.float64)
    return Trained(name, "system", settings, best_epoch, logit, threshold, ones, seconds, None)
