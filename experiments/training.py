"""Train the heads and the references, showing how far they are, and keep what scoring needs of each."""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from experiments.layout import bare
from experiments.loading import Data, Split
from extract.errors import Refused
from heads.metrics import best_threshold, fit_temperature
from heads.train import Fitted, HeadSettings, Progress, Rows, fit


@dataclass(frozen=True)
class Trained:
    """All runs of a head, or a reference: logits on every split but train, and what dev chose."""

    name: str
    kind: str  # "head" or "reference"
    settings: list[dict[str, Any]]  # one per run
    best_epoch: list[int]  # one per run; 0 where there are no epochs
    logit: dict[str, Float[Tensor, "run meme"]]  # by split
    threshold: Float[Tensor, " run"]  # probability, tuned on dev
    temperature: Float[Tensor, " run"]  # fitted on dev, or ones
    seconds: float  # wall time
    fitted: Fitted | None  # None for a reference


def device(asked: str) -> str:
    """Raises Refused when CUDA is asked for and there is none."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise Refused("--device cuda: torch sees no CUDA device here; use --device cpu, or leave it out")
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def runs(heads: Sequence[str], seeds: int, chosen: dict[str, dict[str, Any]]) -> dict[str, list[HeadSettings]]:
    """Every head's runs: the shipped recipe, or what a sweep chose, under each seed."""
    return {head: [HeadSettings(**chosen.get(head, {}), seed=seed) for seed in range(seeds)] for head in heads}


def heads(data: Data, asked: dict[str, list[HeadSettings]], device: str, calibrate: str) -> list[Trained]:
    """Train all runs of each head; a line on stderr for each as it is done."""
    read = {split.name: rows(split) for split in (data.train, data.dev, *data.tests)}
    train, dev = read.pop(data.train.name), read[data.dev.name]
    found = []
    with Live(sum(len(settings) for settings in asked.values())) as live:
        for head, settings in asked.items():
            fitted = fit(head, train, dev, settings, device=device, progress=live.progress)
            live.done(head, fitted)
            logit = {split: fitted.logits(its_rows) for split, its_rows in read.items()}
            threshold, temperature = chosen_on_dev(data, logit, calibrate)
            described = [dataclasses.asdict(run) for run in settings]
            epochs = fitted.best_epoch.tolist()
            found.append(
                Trained(head, "head", described, epochs, logit, threshold, temperature, fitted.seconds, fitted)
            )
    return found


def references(data: Data) -> list[Trained]:
    """Fit the baselines. They are never recalibrated: they stand as they are."""
    from experiments.references import references as fit_all  # scikit-learn takes a second to import

    print("references: logistic regression, nearest neighbours", file=sys.stderr)
    found = []
    for each in fit_all(data):
        threshold, temperature = chosen_on_dev(data, each.logit, "none")
        found.append(
            Trained(
                each.name, "reference", [each.settings], [0], each.logit, threshold, temperature, each.seconds, None
            )
        )
    return found


def chosen_on_dev(
    data: Data, logit: dict[str, Float[Tensor, "run meme"]], calibrate: str
) -> tuple[Float[Tensor, " run"], Float[Tensor, " run"]]:
    """Threshold and temperature of each run, from dev's logits alone. The threshold is of scaled probabilities."""
    dev, label = logit[data.dev.name], torch.from_numpy(data.dev.pairs.label.astype(np.int64))
    temperature = fit_temperature(dev, label) if calibrate == "temperature" else torch.ones(len(dev)).double()
    return best_threshold(dev, label, temperature), temperature


def rows(split: Split) -> Rows:
    """A split as heads take it."""
    return Rows(split.pairs.text_vec, split.pairs.image_vec, split.pairs.label.astype(np.int64))


class Live:
    """A line per head as it is done, and below, on a terminal, how far the one in training is."""

    def __init__(self, runs: int) -> None:
        self.bar = tqdm(total=runs, unit="run", leave=False, disable=None, file=sys.stderr)
        self.finished = 0

    def __enter__(self) -> "Live":
        self.bar.write(f"{'head':8}{'runs':>5}{'epochs':>9}{'dev AUC-ROC':>14}{'seconds':>9}", file=sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def progress(self, now: Progress) -> None:
        self.bar.n = self.finished + now.done
        self.bar.set_description(now.head, refresh=False)
        self.bar.set_postfix_str(f"epoch {now.epoch}, dev AUC-ROC {bare(now.dev_auc)}")

    def done(self, head: str, fitted: Fitted) -> None:
        self.finished += len(fitted.runs)
        auc, epochs = fitted.dev_auc.double(), fitted.best_epoch
        spread = f"±{bare(auc.std().item())}" if len(auc) > 1 else ""
        span = f"{epochs.min()}-{epochs.max()}" if len(auc) > 1 else f"{epochs.min()}"
        shown = f"{bare(auc.mean().item())}{spread}"
        self.bar.write(f"{head:8}{len(auc):>5}{span:>9}{shown:>14}{fitted.seconds:>9.1f}", file=sys.stderr)
