"""What a sweep trains, and the record of it: a line per run in a file that only grows, so that a sweep goes on where it
stopped. Train and dev are read, test is never opened."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from experiments.data import Data, digest, load
from experiments.encoder_choice import sides_of
from experiments.results.records import NAN, revive, to_lines
from extract.errors import Failed, Refused
from extract.machine import FLOAT32, prefetch
from extract.places import Place
from extract.store import EncoderIdentity
from heads import gpu
from heads.fitted import stacks
from heads.models import HEADS
from heads.rows import Once
from heads.train import Fitted, HeadSettings, Rows, fit

AT_ONCE = 48  # runs: what a kill may cost


@dataclass(frozen=True)
class Trial:
    """One run of one head on one pair of encoders: a line of records.jsonl. Knows train and dev, never test."""

    head: str
    text_encoder: str  # empty where the head does not look at texts
    image_encoder: str  # empty where it does not look at images
    settings: dict[str, Any]  # all of them but the seed
    seed: int
    dev_auc: float  # at the best epoch
    best_epoch: int  # 1 is the first
    dev_memes: int
    dev_positive: int  # memes of label 1
    features: dict[str, str]  # fingerprints by kind, "text" and "image", of what the head looks at
    rows: str  # sha256 (hex) over the ids, contents and labels of train and dev
    code: str  # version of this code
    seconds: float  # the wall time of the runs trained with it, shared out equally

    @property
    def configuration(self) -> str:
        """What it shares with the other seeds of the same head, encoders, rows and settings."""
        return json.dumps([self.head, self.features, self.rows, self.settings], sort_keys=True)

    @property
    def key(self) -> str:
        """All that decides what a run scores: trials of equal keys are the same trial."""
        return json.dumps([self.configuration, self.seed])


class TrialLog:
    """Trials in a file of JSON lines, each batch on the disk before the next is trained, in a folder that is locked.

    A last line that was cut off (the process was killed in the middle of it) is dropped.
    """

    def __init__(self, path: Path) -> None:
        """Raise Refused where it cannot be written, or a line is no trial."""
        self.path = path
        self.trials: list[Trial] = []
        try:
            with open(path, "a+b") as file:
                file.seek(0)
                held = file.read()
                file.truncate(whole := held.rfind(b"\n") + 1)
        except OSError as error:
            raise Refused(f"{path}: cannot write there: {error.strerror}") from None
        for number, line in enumerate(held[:whole].splitlines(), start=1):
            try:
                self.trials.append(revive(Trial, json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Refused(
                    f"{path}: line {number} is no record of a sweep; remove that line, or give another --out"
                ) from None

    def append(self, trials: Sequence[Trial]) -> None:
        """Raises Failed when the disk refuses."""
        try:
            with open(self.path, "ab") as file:
                file.write(to_lines(trials).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Failed(f"{self.path}: cannot write: {error.strerror}; finished runs are kept") from None
        self.trials += trials

    def done(self) -> dict[str, Trial]:
        """Trials by key."""
        return {trial.key: trial for trial in self.trials}


def train(head: str, runs: Sequence[HeadSettings], train: Rows, dev: Rows, device: str) -> Iterator[Fitted]:
    """Train a head's runs in stacks, giving them back in order, each as it is done. Takes no test rows.

    A run scores the same in any company. On a GPU some stacks train at once, on streams of their own.
    """
    once = Once()
    jobs = [
        [runs[member] for member in members[start : start + AT_ONCE]]
        for members in stacks(runs)
        for start in range(0, len(members), AT_ONCE)
    ]

    def one(asked: list[HeadSettings]) -> Fitted:
        with FLOAT32.products():
            return fit(head, train, dev, asked, device=device, once=once)

    if device != "cuda":
        yield from map(one, jobs)
        return
    with ThreadPoolExecutor(gpu.STREAMS) as pool:
        yield from prefetch(pool, one, jobs, gpu.STREAMS)


@dataclass(frozen=True)
class HeadTask:
    """A head on the encoders it looks at: the part of a trial that its settings do not say."""

    head: str
    data: Data

    @property
    def encoders(self) -> dict[str, EncoderIdentity]:
        """By side; only those that the head looks at."""
        return {side: self.data.encoders[side] for side in HEADS[self.head].sides}

    @property
    def features(self) -> dict[str, str]:
        """Fingerprints by kind."""
        return {kind: encoder.fingerprint for kind, encoder in self.encoders.items()}

    def planned(self, runs: Sequence[HeadSettings], code: str) -> list[Trial]:
        """A record for each run, in their order, that lacks what its training will tell."""
        names = {side: encoder.name for side, encoder in self.encoders.items()}
        rows, label = digest([self.data.train, self.data.dev], HEADS[self.head].sides), self.data.dev.pairs.label
        return [
            Trial(
                head=self.head,
                text_encoder=names.get("text", ""),
                image_encoder=names.get("image", ""),
                settings=described(self.head, run),
                seed=run.seed,
                dev_auc=NAN,
                best_epoch=0,
                dev_memes=len(label),
                dev_positive=int((label == 1).sum()),
                features=self.features,
                rows=rows,
                code=code,
                seconds=NAN,
            )
            for run in runs
        ]


def scored(planned: Sequence[Trial], fitted: Fitted) -> list[Trial]:
    """What was planned, in the order of the fitted runs, with what their training told."""
    seconds = round(fitted.seconds / len(planned), 3)
    told = zip(planned, fitted.dev_auc.tolist(), fitted.best_epoch.tolist(), strict=True)
    return [replace(trial, dev_auc=auc, best_epoch=epoch, seconds=seconds) for trial, auc, epoch in told]


def described(head: str, run: HeadSettings) -> dict[str, Any]:
    """All settings that the head reads but the seed."""
    return {name: value for name, value in HEADS[head].described(run).items() if name != "seed"}


def pairs(features: Place, text_encoder: str, image_encoder: str, tests: bool = False) -> tuple[list[Data], list[str]]:
    """Every pair of encoders asked for, and in words what was left out.

    text_encoder, image_encoder: "a,b+c": one, and two side by side; "all" is each of a kind.

    Without `tests` no test file is opened. Raises Refused when there is no such encoder, or no pair with train and dev.
    """
    sides, notes = sides_of(features, text_encoder, image_encoder)
    loaded = [load(features, text, image, tests) for text, image in product(*sides.values())]
    different, doubles = without_doubles(loaded)
    return different, [*notes, *doubles, *dict.fromkeys(note for data in different for note in data.notes)]


def without_doubles(loaded: Sequence[Data]) -> tuple[list[Data], list[str]]:
    """Pairs of encoders that differ: one that lies in two folders (by name and by path) would be tried twice."""
    sides = [side for data in loaded for side in (data.text, data.image)]
    name = {side.fingerprint: side.name for side in reversed(sides)}  # of the first folder with that fingerprint
    again = {side.name: name[side.fingerprint] for side in sides if side.name != name[side.fingerprint]}
    different = [data for data in loaded if not {data.text.name, data.image.name} & again.keys()]
    return different, [f"{double} is left out: it is {first} again." for double, first in again.items()]


def tasks(loaded: Sequence[Data], heads: Sequence[str]) -> list[HeadTask]:
    """Return every head on every pair; a head of one modality once for each of its encoders."""
    different: dict[tuple[str, ...], HeadTask] = {}
    for task in (HeadTask(head, data) for head in heads for data in loaded):
        different.setdefault((task.head, *(encoder.name for encoder in task.encoders.values())), task)
    return list(different.values())
