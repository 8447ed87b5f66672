"""What a sweep trains, and the record of it: a line per run in a file that only grows, so that a sweep goes on where it
stopped. Train and dev are read, test is never opened."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments import data as stored
from experiments.data import Data, digest
from experiments.results.records import revive, to_lines
from extract import store
from extract.encoders.batches import prefetch
from extract.errors import Failed, Refused, listing
from extract.locks import flock
from extract.machine import FLOAT32
from extract.places import Place
from extract.store import EncoderIdentity
from heads import gpu
from heads.fitted import stacks
from heads.models import HEADS
from heads.rows import Once
from heads.train import Fitted, HeadSettings, Progress, Rows, fit

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
        return key(self.head, self.features, self.rows, self.settings, self.seed)


def key(head: str, features: dict[str, str], rows: str, settings: dict[str, Any], seed: int) -> str:
    return json.dumps([head, features, rows, settings, seed], sort_keys=True)


class Log:
    """Trials in a file of JSON lines, each batch on the disk before the next is trained.

    A last line that was cut off (the process was killed in the middle of it) is dropped; one process writes at a time.
    """

    def __init__(self, path: Path) -> None:
        """Raise Refused where it cannot be written, another sweep is writing, or a line is no trial."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(path, "a+b")  # noqa: SIM115
        except OSError as error:
            raise Refused(f"{path}: cannot write there: {error.strerror}") from None
        try:
            flock(self.file)
        except OSError as error:
            self.file.close()
            busy = "another sweep is writing it; wait for it, or give another --out"
            unable = f"its file system cannot lock files ({error.strerror}); give an --out on another"
            raise Refused(f"{path}: {busy if isinstance(error, BlockingIOError) else unable}") from None
        try:
            self.trials = self._read()
        except Refused:
            self.file.close()
            raise

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # each batch was synced as it came; one that the disk refused is refused again here, and was told of
        with suppress(OSError):
            self.file.close()

    def _read(self) -> list[Trial]:
        self.file.seek(0)
        held = self.file.read()
        whole = held.rfind(b"\n") + 1
        if whole < len(held):
            self.file.truncate(whole)
        trials = []
        for number, line in enumerate(held[:whole].splitlines(), start=1):
            try:
                trials.append(revive(Trial, json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Refused(
                    f"{self.path}: line {number} is no record of a sweep; remove that line, or give another --out"
                ) from None
        return trials

    def append(self, trials: Sequence[Trial]) -> None:
        """Raises Failed when the disk refuses."""
        text = to_lines(trials)
        try:
            self.file.write(text.encode())
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise Failed(f"{self.path}: cannot write: {error.strerror}; finished runs are kept") from None
        self.trials += trials

    def done(self) -> dict[str, Trial]:
        """Trials by key."""
        return by_key(self.trials)


def by_key(trials: Iterable[Trial]) -> dict[str, Trial]:
    return {trial.key: trial for trial in trials}


def train_grid(
    train: Rows,
    dev: Rows,
    grid: Mapping[str, Sequence[HeadSettings]],
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Fitted]:
    """Train every run of every head in stacks, giving them back in order, each as it is done. Takes no test rows.

    On a GPU some train at once, on streams of their own.

    grid: runs by head, in any order; a run scores the same in any company.
    """
    once = Once()
    jobs = [
        (head, [runs[member] for member in members[start : start + AT_ONCE]])
        for head, runs in grid.items()
        for members in stacks(runs)
        for start in range(0, len(members), AT_ONCE)
    ]

    def one(job: tuple[str, list[HeadSettings]]) -> Fitted:
        with FLOAT32.products():
            return fit(job[0], train, dev, job[1], device=device, progress=progress, once=once)

    if device != "cuda":
        yield from map(one, jobs)
        return
    with ThreadPoolExecutor(gpu.STREAMS) as pool:
        yield from prefetch(pool, one, jobs, gpu.STREAMS)


@dataclass(frozen=True)
class Task:
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

    @property
    def rows(self) -> str:
        """sha256 (hex) over what train and dev hold: another meme or label makes another trial."""
        return digest([self.data.train, self.data.dev], HEADS[self.head].sides)

    def key(self, run: HeadSettings, rows: str) -> str:
        return key(self.head, self.features, rows, described(self.head, run), run.seed)

    def trials(self, fitted: Fitted, rows: str, code: str) -> list[Trial]:
        """A record per run."""
        encoders, label = self.encoders, self.data.dev.pairs.label
        return [
            Trial(
                head=self.head,
                text_encoder=encoders["text"].name if "text" in encoders else "",
                image_encoder=encoders["image"].name if "image" in encoders else "",
                settings=described(self.head, run),
                seed=run.seed,
                dev_auc=float(fitted.dev_auc[place]),
                best_epoch=int(fitted.best_epoch[place]),
                dev_memes=len(label),
                dev_positive=int((label == 1).sum()),
                features=self.features,
                rows=rows,
                code=code,
                seconds=round(fitted.seconds / len(fitted.runs), 3),
            )
            for place, run in enumerate(fitted.runs)
        ]


def described(head: str, run: HeadSettings) -> dict[str, Any]:
    """All settings that the head reads but the seed."""
    return {name: value for name, value in HEADS[head].described(run).items() if name != "seed"}


def pairs(features: Place, text_encoder: str, image_encoder: str) -> tuple[list[Data], list[str]]:
    """Train and dev of every pair of encoders asked for, and in words what was left out.

    text_encoder, image_encoder: "a,b+c": one, and two side by side; "all" is each of a kind.

    No test file is opened. Raises Refused when there is no such encoder, or no pair with train and dev.
    """
    sides, notes = sides_of(features, text_encoder, image_encoder)
    loaded = [stored.load(features, text, image, tests=False) for text, image in product(*sides.values())]
    different, doubles = without_doubles(loaded)
    return different, [*notes, *doubles, *dict.fromkeys(note for data in different for note in data.notes)]


def sides_of(features: Place, text_encoder: str, image_encoder: str) -> tuple[dict[str, list[str]], list[str]]:
    """Names of the encoders that `pairs` takes, by side, and in words what was left out. No test file is opened."""
    folders = store.encoders(features, tests=False)
    asked = {"text": text_encoder, "image": image_encoder}
    sides: dict[str, list[str]] = {"text": [], "image": []}  # names of encoders
    notes = []
    for kind, name in asked.items():
        of_kind = stored.candidates(folders, kind)
        if stored.lacks(folders, kind, None if name == stored.EVERY else name):
            sides[kind] = [stored.NO_ENCODER]
            continue
        for each in dict.fromkeys(part.strip() for part in name.split(",")):
            if each != stored.EVERY or len(of_kind) < 2:
                beside = stored.chosen(folders, kind, None if each == stored.EVERY else each, features)
                sides[kind].append("+".join(folder.name for folder in beside))
                continue
            for folder in of_kind:
                whole = "train" in folder.splits and {"dev", "dev_seen"} & set(folder.splits)
                sides[kind] += [folder.name] if whole else []
                notes += [] if whole else [f"{folder.name} is left out: it has no train and dev."]
        sides[kind] = list(dict.fromkeys(sides[kind]))
    if not all(sides.values()):
        raise Refused(f"{features} holds no pair of encoders with train and dev:\n{listing(notes)}")
    return sides, notes


def without_doubles(loaded: Sequence[Data]) -> tuple[list[Data], list[str]]:
    """Pairs of encoders that differ: one that lies in two folders (by name and by path) would be tried twice."""
    name: dict[str, str] = {}  # of the first folder with that fingerprint
    doubles: dict[str, str] = {}
    different = []
    for data in loaded:
        sides = (data.text, data.image)
        again = [side for side in sides if name.setdefault(side.fingerprint, side.name) != side.name]
        doubles |= {side.name: f"{side.name} is left out: it is {name[side.fingerprint]} again." for side in again}
        different += [] if again else [data]
    return different, list(doubles.values())


def tasks(loaded: Sequence[Data], heads: Sequence[str]) -> list[Task]:
    """Return every head on every pair; a head of one modality once for each of its encoders."""
    different: dict[tuple[str, ...], Task] = {}
    for head in heads:
        for data in loaded:
            task = Task(head, data)
            names = [encoder.name for encoder in task.encoders.values()]
            different.setdefault((head, *names), task)
    return list(different.values())
