"""Heads as compare kept them: every run, what dev chose for it, and the encoders whose vectors it takes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load as deserialise
from torch import Tensor

from extract.errors import Refused, listing
from heads.fitted import Fitted
from heads.metrics import probabilities
from heads.models import HEADS
from heads.rows import Rows
from heads.settings import HeadSettings

SIDES = ("text", "image")


@dataclass(frozen=True)
class KeptEncoder:
    """The encoder that made one side's vectors."""

    kind: str  # "text" or "image"
    name: str  # its folder under features/
    dim: int
    fingerprint: str
    settings: dict[str, Any]  # what the fingerprint covers


@dataclass(frozen=True)
class Kept:
    """All runs of one head."""

    fitted: Fitted
    temperature: Float[Tensor, " run"]  # fitted on dev, or ones
    threshold: float  # probability, tuned on dev for the runs' mean
    encoders: dict[str, KeptEncoder]  # by side

    @property
    def name(self) -> str:
        return self.fitted.head

    @property
    def dev_auc(self) -> float:
        """Mean over runs, as the table has it."""
        return float(self.fitted.dev_auc.double().mean())

    @property
    def sides(self) -> tuple[str, ...]:
        """What it looks at: "text", "image" or both."""
        return tuple(side for side, scale in zip(SIDES, self.fitted.scaling, strict=True) if len(scale.mean))

    def probability(
        self, text_vec: Float[np.ndarray, "meme text_dim"], image_vec: Float[np.ndarray, "meme image_dim"]
    ) -> Float[np.ndarray, "run meme"]:
        """Probability of label 1. The vector of a side that this head does not look at may have no columns."""
        logit = self.fitted.logits(Rows(text_vec, image_vec, np.full(len(text_vec), -1)))
        return probabilities(logit, self.temperature).numpy()


def load(model: Path) -> dict[str, Kept]:
    """The heads in a comparison's folder, in the table's order.

    Raises Refused when there is none, or one cannot be used.
    """
    folder = model / "models" if (model / "models").is_dir() else model
    found = {head: read(folder / f"{head}.json") for head in HEADS if (folder / f"{head}.json").is_file()}
    if not found:
        others = [f"--model {path.parent}" for path in sorted(model.glob("*/models"))]
        hint = (
            f"There are some in:\n{listing(others)}" if others else f"Run: python -m experiments.compare --out {model}"
        )
        raise Refused(f"{model} holds no trained heads. {hint}")
    return found


def read(path: Path) -> Kept:
    """One head, from its JSON and the safetensors beside it. Raises Refused unless the two belong together."""
    again = "Run experiments.compare again."
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        weights = path.with_suffix(".safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != about["weights"]:
            raise Refused(f"{path.with_suffix('.safetensors')} is damaged, or not what {path.name} tells of. {again}")
        runs = [HeadSettings(**run) for run in about["runs"]]
        return Kept(
            fitted=Fitted.from_state(about["head"], runs, deserialise(weights)),
            temperature=torch.tensor(about["temperature"], dtype=torch.float64),
            threshold=float(about["mean_threshold"]),
            encoders={side: encoder(side, about[side]) for side in SIDES},
        )
    except OSError as error:
        raise Refused(f"{error.filename} cannot be read: {error.strerror}. {again}") from None
    except KeyError as error:
        raise Refused(f"{path} has no {error}: it is not what this version of memefuse writes. {again}") from None
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise Refused(f"{path} is not what this version of memefuse writes: {error}. {again}") from None


def encoder(kind: str, about: dict[str, Any]) -> KeptEncoder:
    return KeptEncoder(kind, about["name"], about["dim"], about["fingerprint"], about["settings"])


def choose(heads: dict[str, Kept], asked: str | None) -> Kept:
    """The head that was asked for, else the one with the highest AUC-ROC on dev; test has no say.

    Raises Refused when it was not kept, or when heads of different vectors leave the choice open.
    """
    if asked is not None:
        if asked not in heads:
            raise Refused(f"head {asked} is not among those kept: {', '.join(heads)}")
        return heads[asked]
    if len({fingerprints(head) for head in heads.values()}) > 1:
        lines = [f"{head.name}: {', '.join(head.encoders[side].name for side in SIDES)}" for head in heads.values()]
        raise Refused(
            f"heads of different comparisons lie together; name one with --head, or compare anew:\n{listing(lines)}"
        )
    return max(heads.values(), key=lambda head: head.dev_auc)


def alike(heads: dict[str, Kept], chosen: Kept) -> dict[str, Kept]:
    """Those of the heads that take the same vectors as the chosen one."""
    return {name: head for name, head in heads.items() if fingerprints(head) == fingerprints(chosen)}


def fingerprints(head: Kept) -> tuple[str, ...]:
    return tuple(head.encoders[side].fingerprint for side in SIDES)
