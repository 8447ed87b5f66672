"""Trained heads on disk: every run, what dev chose for it, and the encoders whose vectors it takes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as deserialise
from safetensors.torch import save as serialise
from torch import Tensor

from experiments.data import Data
from experiments.evaluate.scores import mean_threshold
from experiments.results.records import Comparison, compare_again
from experiments.training import Trained, chosen_on_dev, rows
from extract import places, store
from extract.dataset import SIDES
from extract.errors import Refused, listing
from extract.store import EncoderIdentity
from heads.fitted import Fitted
from heads.metrics import probabilities
from heads.models import HEADS
from heads.rows import Rows
from heads.settings import HeadSettings

CURVES = ("train_loss", "dev_loss", "dev_auc")


@dataclass(frozen=True)
class SavedHistory:
    """A head's learning curves; NaN once a run has stopped."""

    train_loss: Float[np.ndarray, "epoch run"]
    dev_loss: Float[np.ndarray, "epoch run"]
    dev_auc: Float[np.ndarray, "epoch run"]
    best_epoch: Int[np.ndarray, " run"]  # 1 is the first

    @classmethod
    def of(cls, fitted: Fitted) -> "SavedHistory":
        curves = fitted.history
        best_epoch = fitted.best_epoch.numpy()
        return cls(curves.train_loss.numpy(), curves.dev_loss.numpy(), curves.dev_auc.numpy(), best_epoch)


@dataclass(frozen=True)
class RememberedMemes:
    """The memes that a head remembers, in the order of its memory."""

    ids: list[str]
    label: list[int]
    text: list[str]  # sha256 of each text, in hex
    image: list[str]  # likewise of each image
    data: str  # the folder of the dataset that they are of, in full; empty where the features do not say
    threshold: float  # probability, tuned on dev for the runs' mean, where every run lets what it remembers vote
    temperature: list[float]  # of each run, where it does


@dataclass(frozen=True)
class SavedHead:
    """All runs of one head."""

    fitted: Fitted
    temperature: Float[Tensor, " run"]  # fitted on dev, or ones
    threshold: float  # probability, tuned on dev for the runs' mean
    encoders: dict[str, EncoderIdentity]  # by side
    known: RememberedMemes | None = None  # of a head that remembers memes; the version before did not write it

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
        return HEADS[self.name].sides

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of the encoders, whether it looks at both or not."""
        return tuple(self.encoders[side].fingerprint for side in SIDES)

    def probability(
        self, text_vec: Float[np.ndarray, "meme text_dim"], image_vec: Float[np.ndarray, "meme image_dim"]
    ) -> Float[np.ndarray, "run meme"]:
        """Return probabilities of label 1. A vector that this head does not look at may have no columns."""
        logit = self.fitted.logits(Rows(text_vec, image_vec, np.full(len(text_vec), -1)))
        return probabilities(logit, self.temperature).numpy()


def save(trained: Trained, folder: Path, final: Path, data: Data, comparison: Comparison) -> None:
    """Write a head's runs, and all that it takes to use them on new memes, to <head>.safetensors and <head>.json.

    final: where `folder` will lie.
    """
    assert trained.fitted is not None
    weights = serialise({name: part.contiguous() for name, part in trained.fitted.state().items()})
    (folder / f"{trained.name}.safetensors").write_bytes(weights)
    about = {
        "head": trained.name,
        "run": comparison.run,
        "weights": hashlib.sha256(weights).hexdigest(),  # tells a reader whether the two files belong together
        "runs": trained.settings,
        "text": asdict(data.text),
        "image": asdict(data.image),
        "threshold": trained.threshold.tolist(),
        "mean_threshold": mean_threshold(trained, data.dev.name, data.dev.pairs.label),
        "temperature": trained.temperature.tolist(),
        "code": comparison.code,
    }
    if known := remembered(trained, data, comparison.calibration):
        about["known"] = asdict(known) | {"data": places.seen_from(final, known.data)}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{trained.name}.json").write_text(text, encoding="utf-8")


def remembered(trained: Trained, data: Data, calibration: str) -> RememberedMemes | None:
    """Return what a head remembers of train; None where it remembers no memes."""
    pairs, dev = data.train.pairs, data.dev.name
    assert trained.fitted is not None
    held = HEADS[trained.name].remembered(len(data.train)).numpy()
    if not len(held):
        return None
    nothing = Rows(pairs.text_vec[:0], pairs.image_vec[:0], pairs.label[:0])
    logit = {dev: trained.fitted.remembering(nothing).logits(rows(data.dev))}
    temperature = chosen_on_dev(data, logit, calibration)[1]
    voting = replace(trained, logit=logit, temperature=temperature)
    folders = {place.parent.name: its.data for place, its in store.recorded(data.features).items()}
    names = [part.name for encoder in data.encoders.values() for part in encoder.parts]
    return RememberedMemes(
        ids=pairs.ids[held].tolist(),
        label=pairs.label[held].tolist(),
        text=[digest.decode() for digest in pairs.text_content[held].tolist()],
        image=[digest.decode() for digest in pairs.image_content[held].tolist()],
        data=next((folders[name] for name in names if name in folders), ""),
        threshold=mean_threshold(voting, dev, data.dev.pairs.label),
        temperature=temperature.tolist(),
    )


def load(model: Path) -> dict[str, SavedHead]:
    """Read the heads in a comparison's folder, in the table's order.

    Raises Refused when there is none, or one cannot be used.
    """
    folder = model / "models" if (model / "models").is_dir() else model
    heads = {head: load_head(folder / f"{head}.json") for head in HEADS if (folder / f"{head}.json").is_file()}
    if not heads:
        others = [f"--model {path.parent}" for path in sorted(model.glob("*/models"))]
        hint = f"There are some in:\n{listing(others)}" if others else compare_again(model)
        raise Refused(f"{model} holds no trained heads. {hint}")
    return heads


def load_head(path: Path) -> SavedHead:
    """Read one head from its JSON and the safetensors beside it. Raises Refused unless the two belong together."""
    again = partial(compare_again, path.parent.parent)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        weights = path.with_suffix(".safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != about["weights"]:
            raise Refused(f"{path.with_suffix('.safetensors')} is damaged, or not what {path.name} tells of. {again()}")
        runs = [HeadSettings(**run) for run in about["runs"]]
        known = RememberedMemes(**about["known"]) if "known" in about else None
        return SavedHead(
            fitted=Fitted.from_state(about["head"], runs, deserialise(weights)),
            temperature=torch.tensor(about["temperature"], dtype=torch.float64),
            threshold=float(about["mean_threshold"]),
            # the version before wrote no versions
            encoders={side: EncoderIdentity.from_json(side, {"versions": {}} | about[side]) for side in SIDES},
            known=known and replace(known, data=places.in_full(path.parent, known.data)),
        )
    except OSError as error:
        raise Refused(f"{error.filename} cannot be read: {error.strerror}. {again()}") from None
    except KeyError as error:
        raise Refused(f"{path} has no {error}: it is not what this version of memefuse writes. {again()}") from None
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise Refused(f"{path} is not what this version of memefuse writes: {error}. {again()}") from None


def read_history(path: Path) -> SavedHistory | None:
    """Read a head's learning curves without its weights; None where there is no such file."""
    if not path.is_file():
        return None
    with safe_open(path, framework="np") as file:
        train, dev, auc = (file.get_tensor(f"history.{name}") for name in CURVES)
        return SavedHistory(train, dev, auc, file.get_tensor("best_epoch"))


def choose(heads: Mapping[str, SavedHead], asked: str | None) -> SavedHead:
    """Return the head that was asked for, else the one with the highest AUC-ROC on dev; test has no say.

    Raises Refused when it was not saved, or when heads of different vectors leave the choice open.
    """
    if asked is not None:
        if asked not in heads:
            raise Refused(f"head {asked} is not among those kept: {', '.join(heads)}")
        return heads[asked]
    if len({head.fingerprints for head in heads.values()}) > 1:
        lines = [f"{head.name}: {', '.join(head.encoders[side].name for side in SIDES)}" for head in heads.values()]
        raise Refused(
            f"heads of different comparisons lie together; name one with --head, or compare anew:\n{listing(lines)}"
        )
    return max(heads.values(), key=lambda head: head.dev_auc)


def alike(heads: Mapping[str, SavedHead], chosen: SavedHead) -> dict[str, SavedHead]:
    """Return those of the heads that take the same vectors as the chosen one."""
    return {name: head for name, head in heads.items() if head.fingerprints == chosen.fingerprints}
