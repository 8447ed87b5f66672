"""What a sweep has tried: a record per run, in a file that only grows, so that a sweep goes on where it stopped."""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments.results.records import revive, without_nan
from extract.errors import Failed, Refused
from extract.locks import flock


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
        found = []
        for number, line in enumerate(held[:whole].splitlines(), start=1):
            try:
                found.append(revive(Trial, json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Refused(
                    f"{self.path}: line {number} is no record of a sweep; remove that line, or give another --out"
                ) from None
        return found

    def append(self, trials: Sequence[Trial]) -> None:
        """Raises Failed when the disk refuses."""
        text = "".join(
            json.dumps(without_nan(asdict(trial)), ensure_ascii=False, allow_nan=False) + "\n" for trial in trials
        )
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
