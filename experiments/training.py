"""Train the heads and the references, showing how far they are, and keep what scoring needs of each."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from experiments.data import Data, Split
from experiments.words import bare
from extract.errors import Refused
from extract.machine import FLOAT32
from heads import gpu
from heads.metrics import best_threshold, fit_temperature
from heads.models import HEADS
from heads.rows import Once
from heads.train import CACHE_BYTES, Fitted, HeadSettings, Progress, Rows, fit


@dataclass(frozen=True)
class Trained:
    """All runs of a head, or a reference: logits on every split but train, and what dev chose."""

    name: str
    kind: str  # "head", "ensemble" or "reference"
    settings: list[dict[str, Any]]  # one per run
    best_epoch: list[int]  # one per run; 0 where there are no epochs
    logit: dict[str, Float[Tensor, "run meme"]]  # by split
    threshold: Float[Tensor, " run"]  # probability, tuned on dev
    temperature: Float[Tensor, " run"]  # fitted on dev, or ones
    seconds: float  # wall time
    fitted: Fitted | None  # None for a reference or an ensemble
    image_share: float = float("nan")  # of dev's memes, where the head weighs text and image; mean over runs

    @property
    def diverged(self) -> list[int]:
        """Seeds of a head's runs that had no epoch with a finite loss on dev: they hold their random start."""
        runs = zip(self.settings, self.best_epoch, strict=True) if self.kind == "head" else ()
        return [run["seed"] for run, epoch in runs if not epoch]


def runs(heads: Sequence[str], seeds: int, chosen: dict[str, dict[str, Any]]) -> dict[str, list[HeadSettings]]:
    """Every head's runs: the shipped recipe with what was chosen for it, under each seed."""
    return {head: [HEADS[head].settings(**chosen.get(head, {}), seed=seed) for seed in range(seeds)] for head in heads}


def settings(**asked: Any) -> dict[str, Any]:
    """Return those that are not None. Raises Refused, naming every fault at once, for values that no head takes."""
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        HeadSettings(**given)
    except ValueError as error:
        raise Refused(f"settings that heads do not take: {error}") from None
    return given


def heads(
    data: Data, asked: dict[str, list[HeadSettings]], device: str, calibrate: str, quiet: bool = False
) -> list[Trained]:
    """Train all runs of each head; unless `quiet`, a line on stderr for each as it is done.

    On a CPU heads train side by side, with a share of the cores each: a small product gains little from a second core,
    and where other programs are on the cores, threads that wait for each other at every product lose most of the time.
    On a GPU they do, too, on streams of their own (`fit`). All of them look at one copy of the standardised vectors.
    """
    split_rows = {split.name: rows(split) for split in data.splits}
    train, dev = split_rows.pop(data.train.name), split_rows[data.dev.name]
    count = sum(len(settings) for settings in asked.values())
    cache, once = gpu.budget(torch.device(device), CACHE_BYTES), Once()
    with Live(count, quiet) as live, FLOAT32.products(), side_by_side(len(asked), device) as workers:
        share = cache if device == "cuda" else cache // workers
        how: dict[str, Any] = {"device": device, "progress": live.progress, "cache_bytes": share, "once": once}

        def one(head: str) -> Trained:
            fitted = fit(head, train, dev, asked[head], **how)
            live.done(head, fitted)
            logit = {split: fitted.logits(its_rows) for split, its_rows in split_rows.items()}
            threshold, temperature = chosen_on_dev(data, logit, calibrate)
            described = [HEADS[head].described(run) for run in asked[head]]
            share = fitted.image_share(dev)
            return Trained(
                head, "head", described, fitted.best_epoch.tolist(), logit, threshold, temperature, fitted.seconds,
                fitted, float("nan") if share is None else share.mean().item(),
            )  # fmt: skip

        with ThreadPoolExecutor(workers) as pool:
            # the wide ones, which come last in a table, start first: what is left for the end is short
            futures = {head: pool.submit(one, head) for head in reversed(asked)}
            try:
                return [futures[head].result() for head in asked]
            except BaseException:
                live.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@contextmanager
def side_by_side(jobs: int, device: str) -> Iterator[int]:
    """How many of `jobs` run at once; within, torch gives each its share of the cores."""
    cores = torch.get_num_threads()
    at_once = min(jobs, cores) if device == "cpu" else min(jobs, cores, gpu.STREAMS) if device == "cuda" else 1
    torch.set_num_threads(cores // at_once)
    try:
        yield at_once
    finally:
        torch.set_num_threads(cores)


def references(data: Data, quiet: bool = False) -> list[Trained]:
    """Fit the baselines. They are never recalibrated: they stand as they are."""
    from experiments.references import references as fit_all  # scikit-learn takes a second to import

    if not quiet:
        print("references: logistic regression, nearest neighbours", file=sys.stderr)
    trained = []
    for each in fit_all(data):
        threshold, temperature = chosen_on_dev(data, each.logit, "none")
        trained.append(
            Trained(
                each.name, "reference", [each.settings], [0], each.logit, threshold, temperature, each.seconds, None
            )
        )
    return trained


def chosen_on_dev(
    data: Data, logit: dict[str, Float[Tensor, "run meme"]], calibrate: str
) -> tuple[Float[Tensor, " run"], Float[Tensor, " run"]]:
    """Threshold and temperature of each run, from dev's logits alone. The threshold is of scaled probabilities."""
    dev, label = logit[data.dev.name], torch.from_numpy(data.dev.pairs.label.astype(np.int64))
    temperature = fit_temperature(dev, label) if calibrate == "temperature" else torch.ones(len(dev)).double()
    return best_threshold(dev, label, temperature), temperature


def rows(split: Split) -> Rows:
    """A split as heads take it."""
    pairs = split.pairs
    blocks = [tuple(part.dim for part in side.identity.parts) for side in (pairs.text, pairs.image)]
    return Rows(pairs.text_vec, pairs.image_vec, pairs.label.astype(np.int64), *blocks)


class Live:
    """A line per head as it is done, and below, on a terminal, how far those in training are."""

    def __init__(self, runs: int, quiet: bool) -> None:
        self.bar = tqdm(total=runs, unit="run", leave=False, disable=quiet or None, file=sys.stderr)
        self.quiet = quiet
        self.finished: dict[str, int] = {}  # runs, by head
        self.stopped = False

    def __enter__(self) -> "Live":
        self.say(f"{'head':9}{'runs':>5}{'epochs':>9}{'dev AUC-ROC':>14}{'seconds':>9}")
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def stop(self) -> None:
        """Whoever tells of another epoch is stopped."""
        self.stopped = True

    def progress(self, now: Progress) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.finished[now.head] = now.done
        self.bar.n = sum(self.finished.values())
        self.bar.set_description(now.head, refresh=False)
        self.bar.set_postfix_str(f"epoch {now.epoch}, dev AUC-ROC {bare(now.dev_auc)}")

    def done(self, head: str, fitted: Fitted) -> None:
        self.finished[head] = len(fitted.runs)
        auc, epochs = fitted.dev_auc.double(), fitted.best_epoch
        spread = f"±{bare(auc.std().item())}" if len(auc) > 1 else ""
        span = f"{epochs.min()}-{epochs.max()}" if len(auc) > 1 else f"{epochs.min()}"
        shown = f"{bare(auc.mean().item())}{spread}"
        self.say(f"{head:9}{len(auc):>5}{span:>9}{shown:>14}{fitted.seconds:>9.1f}")

    def say(self, line: str) -> None:
        if not self.quiet:
            self.bar.write(line, file=sys.stderr)
