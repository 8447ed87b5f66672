"""Run one system under one of its settings, train memefuse's own heads beside it, or ask it of one meme."""

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from experiments import data as loading
from experiments import training
from experiments.data import Data, Split
from experiments.options import DEFAULT_HEADS
from experiments.scoring.vectors import VectorSource, image_item, text_item
from experiments.systems import encoders, inputs
from experiments.systems.encoders import Request, Side, UsedEncoder
from experiments.systems.inputs import Inputs
from experiments.systems.published import FASTTEXT, Setting, System
from experiments.systems.results import MEMEFUSE, RESULT, Result, conclude, read_result, run_folder
from experiments.training import Trained
from experiments.words import bare, counted
from extract import machine as devices
from extract.dataset import Meme
from extract.encoders import catalogue
from extract.errors import Failed, Refused, need
from extract.files import replacing, write_text
from extract.locks import locked
from extract.places import Source, place
from extract.store import NO_LABEL
from heads.train import HeadSettings, fit

FROZEN_SEEDS = 5
OWN_SEEDS = 5  # of memefuse's own heads beside a system


@dataclass(frozen=True)
class Job:
    """One system under one of its settings, made ready to run."""

    system: System
    name: str  # of the setting
    setting: Setting  # with the encoders that really train
    sides: tuple[Side, Side]  # text and image, with the identity of what was read
    memes: inputs.Memes
    data: Data
    request: Request
    device: str  # "cpu" or "cuda"

    @cached_property
    def train(self) -> Split:
        """The memes that are trained on."""
        balance = self.setting.training.balance
        return self.data.train.only(inputs.trained_rows(self.data.train, self.request.rows, balance))

    @property
    def scored(self) -> Sequence[Split]:
        """Dev and the test splits."""
        return self.data.splits[1:]

    @cached_property
    def inputs(self) -> list[Inputs]:
        """What the model reads of train, as far as it is trained on, of dev and of the test splits."""
        splits = (self.train, *self.scored)
        return [inputs.inputs_of(each, self.memes[each.name], self.sides, self.system.max_tokens) for each in splits]

    @property
    def seeds(self) -> list[int]:
        first = self.setting.training.seed
        return list(range(first, first + (self.request.seeds or (1 if self.setting.train else FROZEN_SEEDS))))

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

    @cached_property
    def key(self) -> str:
        """sha256 of all that changes a number, seeds aside: more seeds join those that were run."""
        about = {
            "system": self.system.name,
            "setting": self.name,
            "training": asdict(self.setting.training),
            "shape": asdict(self.system.shape),
            "max_tokens": self.system.max_tokens,
            "sides": [[side.name, side.identity.fingerprint, side.trains] for side in self.sides],
            "memes": {split.name: inputs.digest_of_split(split) for split in (self.train, *self.scored)},
            "steps": self.request.steps,
            "precision": self.precision,
        }
        if self.system.design == "heads":
            about["recipe"] = asdict(self.recipe)
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        return run_folder(self.request.out, self.system.name, self.name, self.key)


def run(system: System, name: str, request: Request, command: Sequence[str]) -> Result:
    """Train and score, or read what an equal run has left. `name` is a setting's.

    command: what the user typed, for messages. Raises Refused before any work for what cannot be run.
    """
    needed = ["accelerate"] * (system.design != "heads")
    need(needed + ["gensim"] * (request.named("text", system.text) == FASTTEXT), f"{system.name} needs", "systems")
    if system.design == "heads" and request.steps is not None:
        raise Refused(f"{system.name}'s heads train until dev is best: --steps is for the other systems")
    sides = encoders.choose(system, request, command)
    job = prepare(system, name, replace(system.settings[name], train=request.train), sides, request)
    with locked(job.folder, "the same run", "--out"):
        done = read_result(job.folder)
        if done is not None and done.seeds == len(job.seeds):
            print(f"{job.folder}: done before; remove it to run it again", file=sys.stderr)
            return done
        return record(job, train_heads(job) if system.design == "heads" else [train_system(job)])


def prepare(system: System, name: str, setting: Setting, sides: tuple[Side, Side], request: Request) -> Job:
    """Read the memes, have stage 1 make the vectors of what is frozen, and join them."""
    device = devices.resolve_device(request.device)
    memes = inputs.read_memes(request.data, request.on_error)
    digests: dict[Source, str] = {}
    notes: list[str] = []
    if sides[1].trains:
        memes, digests, notes = inputs.usable(memes, request.on_error)
    encoders.extract(sides, request, device, system.max_tokens)
    data = inputs.load(memes, digests, sides, request.features, notes)
    text, image = (replace(each, identity=read) for each, read in zip(sides, data.encoders.values(), strict=True))
    return Job(system, name, setting, (text, image), memes, data, request, device)


def train_heads(job: Job) -> list[Trained]:
    """Stage 2's own heads under the system's optimiser."""
    train, dev, *tests = map(training.rows, (job.train, *job.scored))
    runs = [replace(job.recipe, seed=seed) for seed in job.seeds]
    trained = []
    for head in job.system.heads:
        fitted = fit(head, train, dev, runs, device=job.device, precision=job.precision)
        logit = {split.name: fitted.logits(its) for split, its in zip(job.scored, [dev, *tests], strict=True)}
        settings, name = [asdict(each) for each in runs], f"{job.system.name} {head}"
        trained.append(with_threshold(job, name, settings, fitted.best_epoch.tolist(), logit, fitted.seconds))
    return trained


def train_system(job: Job) -> Trained:
    """One training after the other, each with checkpoints of its own; a seed that is done is read."""
    logits, settings, epochs, seconds = [], [], [], 0.0
    for seed in job.seeds:
        folder = job.folder / f"seed-{seed}"
        if not (folder / "learned.json").exists():
            train_seed(job, seed, folder)
        learned = json.loads((folder / "learned.json").read_text())
        logits.append(load_file(folder / "logits.safetensors"))
        epochs.append(learned["best_epoch"])
        seconds += learned["seconds"]
        how = asdict(job.setting.training) | asdict(job.system.shape)
        settings.append(how | {"seed": seed, "steps": learned["steps"]})
    logit = {split: torch.stack([of_seed[split] for of_seed in logits]) for split in logits[0]}
    return with_threshold(job, job.system.name, settings, epochs, logit, seconds)


def train_seed(job: Job, seed: int, folder: Path) -> None:
    """Train, and leave weights, logits and the history beside the checkpoints."""
    from experiments.systems import models, trainer  # late: what the lab's heads do not need

    model = models.build(job.system, *job.sides, seed=seed)
    train, dev, *_ = job.inputs
    learned = trainer.train(
        model, train, dev, job.setting.training, folder / "checkpoints", seed=seed, device=job.device,
        steps=job.request.steps, precision=job.precision, label=f"{job.system.name} seed {seed}",
    )  # fmt: skip
    logit = {each.split: trainer.logits(model, each, job.device, job.precision) for each in job.inputs[1:]}
    for name, tensors in (("model", model.state_dict()), ("logits", logit)):
        with replacing(folder / f"{name}.safetensors") as aside:
            save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, aside)
    write_text(folder / "learned.json", json.dumps(asdict(learned), indent=1) + "\n")  # last: it says that all is there


def with_threshold(
    job: Job, name: str, settings: list[dict], best_epoch: list[int], logit: dict[str, torch.Tensor], seconds: float
) -> Trained:
    """As `compare`'s rooms take it: with a threshold for each run, tuned on dev."""
    threshold, temperature = training.chosen_on_dev(job.data, logit, "none")
    return Trained(name, "system", settings, best_epoch, logit, threshold, temperature, seconds, None)


def record(job: Job, trained: list[Trained]) -> Result:
    """Score and write what was trained."""
    steps = max((settings.get("steps", 0) for each in trained for settings in each.settings), default=0)
    request, (text, image) = job.request, job.sides
    return conclude(
        request.out, trained, job.data, system=job.system.name, setting=job.name, key=job.key, text=text.record,
        image=image.record, data=str(request.data), train_memes=len(job.train), steps=steps,
        balanced=job.setting.training.balance != "none", capped=request.steps is not None and steps >= request.steps,
        drawn=request.rows if request.rows is not None and request.rows < len(job.data.train) else 0,
        epochs=job.setting.training.epochs, model=asdict(job.system.shape), device=job.device, precision=job.precision,
        seconds=sum(each.seconds for each in trained), published=list(job.setting.published),
        notes=[*job.data.notes, *diverged(job.name, trained)],
    )  # fmt: skip


def diverged(setting: str, trained: Sequence[Trained]) -> list[str]:
    """A sentence on each head with runs whose logits are no numbers."""
    sentences = []
    for each in trained:
        lost = torch.stack([logit.isnan().any(dim=1) for logit in each.logit.values()]).any(dim=0)
        if seeds := ", ".join(str(how["seed"]) for how, run in zip(each.settings, lost, strict=True) if run):
            told = f"training diverged (seed {seeds}), so there is nothing to measure."
            sentences.append(f"{each.name} {setting}: {told}")
    return sentences


def own_heads(result: Result, out: Path, device: str) -> Result | str:
    """The heads of `compare` on `result`'s encoders: trained now, or read if that was done before.

    Returns in words why there are none where the encoders' vectors are not in the features folder.
    """
    text, image = result.text.identity.name, result.image.identity.name.removesuffix("-grid")
    try:
        data = loading.load(place(result.features), text, image)
        refuse_others(result, data)
    except Failed as error:
        why = str(error).partition(" It ")[0].splitlines()[0]
        names = "none" if result.text.name == FASTTEXT else result.text.name, result.image.name.removesuffix(":grid")
        return (
            f"memefuse's heads on {text} + {image} are not shown: {why} Run: python -m extract --data {result.data} "
            f"--features {result.features} --text-encoder {names[0]} --image-encoder {names[1]}"
        )
    digests = [inputs.digest_of_split(each) for each in data.splits if len(each.labelled)]
    about = [asdict(HeadSettings()), OWN_SEEDS, data.text.fingerprint, data.image.fingerprint, digests]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    if done := read_result(run_folder(out, MEMEFUSE, f"{text}+{image}", key)):
        return done
    device, start = devices.resolve_device(device), time.perf_counter()
    trained = training.heads(data, training.runs(DEFAULT_HEADS.split(","), OWN_SEEDS, {}), device, "none")
    seconds = time.perf_counter() - start  # heads train side by side: theirs overlap
    [precision] = {each.fitted.precision for each in trained if each.fitted}
    used = [
        UsedEncoder(identity.name, beside.published, beside.stand_in, False, identity)
        for identity, beside in zip(data.encoders.values(), (result.text, result.image), strict=True)
    ]
    return conclude(
        out, trained, data, system=MEMEFUSE, setting=f"{text}+{image}", key=key, text=used[0], image=used[1],
        data=result.data, train_memes=len(data.train), notes=data.notes, epochs=HeadSettings().max_epochs,
        seconds=seconds, device=device, precision=precision,
    )  # fmt: skip


def refuse_others(result: Result, data: Data) -> None:
    """Raise Refused where the features are no more of the memes, or the vectors, that the run had."""
    if inputs.digest_of(data.splits) != result.content:
        raise Refused(f"{result.features} holds other memes than this run had; if they have changed, run it again.")
    for used, now in ((result.text.identity, data.text), (result.image.identity, data.image)):
        if used.name == now.name and used.dim and used.fingerprint != now.fingerprint:
            raise Refused(f"the vectors of {now.name} are others than this run had; run it again.")


def predict(system: System, setting: str | None, out: Path, image: Path, text: str, device: str) -> str:
    """In words: the seeds' mean probability of label 1, and the label at the threshold tuned on dev.

    Raises Refused when there is no such run, its encoders are not those of the run, or the image is none.
    """
    if system.design == "heads":
        raise Refused(
            f"{system.name}'s heads are stage 2's: experiments.compare keeps such heads, experiments.predict asks them"
        )
    if not image.is_file():
        raise Refused(f"no image {image}")
    from experiments.systems import models, trainer

    folder, result = last_run(system, setting, out)
    if result.model != asdict(system.shape):
        raise Refused(f"{folder}: another version of memefuse built this model; run the system again")
    device = devices.resolve_device(device)
    sides = (located_again(result.text), located_again(result.image))
    one = Meme("0", text, image, None)
    vectors = {side.identity.kind: vector_of(one, side, result, device) for side in sides if side.cached}
    meme = Inputs("meme", np.array([NO_LABEL]), inputs.columns_of([one], vectors, sides, system.max_tokens))
    probabilities = []
    first = system.settings[result.setting].training.seed
    for seed in range(first, first + result.seeds):
        model = models.build(system, *sides, seed=seed)
        model.load_state_dict(load_file(folder / f"seed-{seed}" / "model.safetensors"))
        logit = trainer.logits(model.to(device), meme, device, result.precision)
        probabilities.append(torch.sigmoid(logit.double()).item())
    mean, threshold = float(np.mean(probabilities)), result.threshold
    span = f"{bare(min(probabilities))} to {bare(max(probabilities))}"
    return (
        f"label {int(mean >= threshold)}: probability {bare(mean)}, threshold {bare(threshold)} (dev); "
        f"{counted(result.seeds, 'seed')} {span}; {folder}"
    )


def last_run(system: System, setting: str | None, out: Path) -> tuple[Path, Result]:
    """The newest that ended, of any setting where none is named."""
    paths = (out / "systems" / system.name).glob(f"{setting or '*'}-{'[0-9a-f]' * 8}/{RESULT}")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        if (result := read_result(path.parent)) is not None:
            return path.parent, result
    which, name = f", setting {setting}," if setting else "", system.name
    raise Refused(f"no run of {name}{which} under {out}; run: python -m experiments.systems {name} --data ...")


def located_again(used: UsedEncoder) -> Side:
    """As the run had it. Raises Refused when weights that training began with are others now."""
    located = None if used.name == FASTTEXT else catalogue.locate(used.identity.kind, used.name)
    if located is not None and used.identity.dim == 0 and located.weights != used.identity.fingerprint:
        raise Refused(f"{used.name} has other weights than the run began with; take those, or run the system again")
    return Side(**vars(used), located=located, cached=used.identity.dim > 0)


def vector_of(meme: Meme, side: Side, result: Result, device: str) -> np.ndarray:
    """[1, dim] from the encoder that made the run's vectors, or from the vectors that stage 1 keeps.

    fastText learns again from the run's texts, which gives the same vectors. Raises Refused when they are others.
    """
    if side.name == FASTTEXT:
        texts = [each.text for each in inputs.read_memes(place(result.data), "skip")["train"]]
        if encoders.fasttext_settings(texts) != side.identity.settings:
            other = "train's texts are not those that fastText learned from; run the system again"
            raise Refused(f"{result.data}: {other}")
        return encoders.fasttext_vectors([meme.text], encoders.learn_fasttext(texts))
    features = place(result.features)
    source = VectorSource(side.identity, device, side.name, features if features.is_dir() else None)
    item = text_item(meme.text) if side.identity.kind == "text" else image_item(meme.image)
    vector, bad = source.vectors([item], lambda count: None)
    if bad:
        raise Refused(f"{meme.image}: {bad[item.content]}")
    return vector
