"""Finished trainings, kept beside an answer that is in the making: a run that was stopped goes on where it stood."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from experiments import training
from experiments.data import Data, digest
from experiments.results.records import code_version, versions
from experiments.training import Trained
from extract.files import replacing
from heads.models import HEADS
from heads.settings import HeadSettings

FOLDER = ".kept"  # below the answer's own
PLAIN = ("name", "kind", "settings", "best_epoch", "seconds", "image_share")  # what JSON can say of a training


class Trainings:
    """Trains what an answer's folder does not hold yet, and keeps it there, without weights."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.by = [device, code_version(), versions()]
        self.asked: set[str] = set()  # keys

    def of(self, data: Data, runs: Mapping[str, list[HeadSettings]], references: bool = False) -> dict[str, Trained]:
        """Return each head's runs on these memes, and the references, by name."""
        memes = digest(data.splits)
        keys = {head: self.key(head, HEADS[head].sides, data, memes, map(asdict, its)) for head, its in runs.items()}
        trained = {head: kept(self.folder, key) for head, key in keys.items()}
        if missing := {head: its for head, its in runs.items() if trained[head] is None}:
            for each in training.heads(data, missing, self.device, "none", quiet=True):
                trained[each.name] = keep(self.folder, keys[each.name], [each])
        if references:
            key = self.key("references", tuple(data.encoders), data, memes)
            trained[key] = kept(self.folder, key) or keep(self.folder, key, training.references(data, quiet=True))
        return {each.name: each for every in trained.values() for each in every or []}

    def key(self, what: str, sides: Sequence[str], data: Data, memes: str, runs: Any = ()) -> str:
        """Name a training by all that decides its numbers: encoders, memes, settings, seeds, device and versions."""
        about = [what, {side: data.encoders[side].fingerprint for side in sides}, memes, *self.by, list(runs)]
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
        self.asked.add(key)
        return key

    def forget_others(self) -> None:
        """Remove what nobody has asked for."""
        for path in (self.folder / FOLDER).glob("*.safetensors"):
            if path.stem not in self.asked:
                path.unlink()


def keep(folder: Path, key: str, every: Sequence[Trained]) -> list[Trained]:
    """Write what trainings came to, whole or not at all, and return it as `kept` does."""
    tensors = {
        f"{number}/{part}": tensor.contiguous()
        for number, each in enumerate(every)
        for part, tensor in {"threshold": each.threshold, "temperature": each.temperature, **each.logit}.items()
    }
    about = [{name: getattr(each, name) for name in PLAIN} for each in every]
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with replacing(folder / FOLDER / f"{key}.safetensors") as aside:
        aside.write_bytes(save(tensors, {"about": json.dumps(about)}))
    return [replace(each, fitted=None) for each in every]


def kept(folder: Path, key: str) -> list[Trained] | None:
    """Return what `keep` wrote, in its order; None where there is nothing sound: then it is trained again."""
    try:
        with safe_open(folder / FOLDER / f"{key}.safetensors", framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            parts: list[dict[str, Any]] = [{} for _ in about]
            for name in file.keys():  # noqa: SIM118
                number, _, part = name.partition("/")
                parts[int(number)][part] = file.get_tensor(name)
        return [
            Trained(**plain, threshold=its.pop("threshold"), temperature=its.pop("temperature"), logit=its, fitted=None)
            for plain, its in zip(about, parts, strict=True)
        ]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
