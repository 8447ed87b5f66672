"""Train the heads and the references, showing how far they are, and keep what scoring needs of each."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from experiments import references as baselines
from experiments.layout import bare
from experiments.loading import Data, Split
from extract.errors import Refused
from heads.metrics import auc_roc, best_threshold, fit_temperature
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
    train, dev = rows(data.train), rows(data.dev)
    found = []
    with Live(sum(len(settings) for settings in asked.values())) as live:
        for head, settings in asked.items():
            fitted = fit(head, train, dev, settings, device=device, progress=live.progress)
            live.done(head, fitted)
            logit = {split.name: fitted.logits(rows(split)) for split in (data.dev, *data.tests)}
            found.append(
                chosen_on_dev(
                    data, head, "head", [dataclasses.asdict(run) for run in settings], fitted.best_epoch.tolist(), logit,
                    fitted.seconds, calibrate, fitted,
                )
            )  # fmt: skip
    return found


def references(data: Data) -> list[Trained]:
    """Fit the baselines. They are never recalibrated: they stand as they are."""
    with tqdm(total=5, desc="references", leave=False, disable=None) as bar:

        def tell(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        found = baselines.references(data, tell)
    return [
        chosen_on_dev(data, each.name, "reference", [each.settings], [0], each.logit, each.seconds, "none", None)
        for each in found
    ]


def chosen_on_dev(
    data: Data, name: str, kind: str, settings: list[dict[str, Any]], best_epoch: list[int], logit: dict[str, Tensor],
    seconds: float, calibrate: str, fitted: Fitted | None,
) -> Trained:  # fmt: skip
    """Temperature, then threshold, from dev's logits alone."""
    dev, label = logit[data.dev.name], rows(data.dev).labels()
    temperature = torch.ones(len(dev), dtype=torch.float64)
    if calibrate == "temperature":
        temperature = fit_temperature(dev, label)
    threshold = best_threshold(dev, label, temperature)
    return Trained(name, kind, settings, best_epoch, logit, threshold, temperature, seconds, fitted)


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
