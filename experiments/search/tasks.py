"""Train what a sweep asks for on train and dev, and know which rows those were."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from experiments import data as loading
from experiments.data import Data
from experiments.search.trials import Trial, key
from extract import store
from extract.errors import Refused, listing
from extract.places import Place
from heads.fitted import stacks
from heads.train import Fitted, HeadSettings, Progress, Rows, fit

AT_ONCE = 48  # runs: what a kill may cost
SIDES = {"text": ("text",), "image": ("image",), "early": ("text", "image"), "late": ("text", "image")}


def sweep(
    train: Rows,
    dev: Rows,
    grid: Mapping[str, Sequence[HeadSettings]],
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Fitted]:
    """Train every run of every head in stacks, giving back each stack as it is done. Takes no test rows.

    grid: runs by head, in any order; a run scores the same in any company.
    """
    for head, runs in grid.items():
        for members in stacks(runs):
            for start in range(0, len(members), AT_ONCE):
                asked = [runs[member] for member in members[start : start + AT_ONCE]]
                yield fit(head, train, dev, asked, device=device, progress=progress)


@dataclass(frozen=True)
class Task:
    """A head on the encoders it looks at: the part of a trial that its settings do not say."""

    head: str
    data: Data

    @property
    def encoders(self) -> dict[str, loading.Encoder]:
        """By kind; only those that the head looks at."""
        both = {"text": self.data.text, "image": self.data.image}
        return {kind: both[kind] for kind in SIDES[self.head]}

    @property
    def features(self) -> dict[str, str]:
        """Fingerprints by kind."""
        return {kind: encoder.fingerprint for kind, encoder in self.encoders.items()}

    @property
    def rows(self) -> str:
        """sha256 (hex) over what train and dev hold: another meme or label makes another trial."""
        digest = hashlib.sha256()
        for split in (self.data.train, self.data.dev):
            pairs = split.pairs
            contents = {"text": pairs.text_content, "image": pairs.image_content}
            for column in (pairs.ids, pairs.label, *(contents[kind] for kind in SIDES[self.head])):
                digest.update("\n".join(str(value) for value in column.tolist()).encode() + b"\0")
        return digest.hexdigest()

    def key(self, run: HeadSettings, rows: str) -> str:
        return key(self.head, self.features, rows, described(run), run.seed)

    def trials(self, fitted: Fitted, rows: str, code: str) -> list[Trial]:
        """A record per run."""
        encoders, label = self.encoders, self.data.dev.pairs.label
        return [
            Trial(
                head=self.head,
                text_encoder=encoders["text"].name if "text" in encoders else "",
                image_encoder=encoders["image"].name if "image" in encoders else "",
                settings=described(run),
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


def described(run: HeadSettings) -> dict[str, Any]:
    """All settings but the seed."""
    return {name: value for name, value in dataclasses.asdict(run).items() if name != "seed"}


def pairs(features: Place, text_encoder: str, image_encoder: str) -> tuple[list[Data], list[str]]:
    """Train and dev of every pair of encoders asked for ("all" is all of a kind), and in words what was left out.

    No test file is opened. Raises Refused when there is no such encoder, or no pair with train and dev.
    """
    found = store.encoders(features, tests=False)
    asked = {"text": text_encoder, "image": image_encoder}
    sides: dict[str, list[store.EncoderFolder]] = {"text": [], "image": []}
    notes = []
    for kind, name in asked.items():
        of_kind = loading.candidates(found, kind)
        if name != "all" or len(of_kind) < 2:
            sides[kind] = [loading.choose(found, kind, None if name == "all" else name, features)]
            continue
        for folder in of_kind:
            whole = "train" in folder.splits and {"dev", "dev_seen"} & set(folder.splits)
            sides[kind] += [folder] if whole else []
            notes += [] if whole else [f"{folder.name} is left out: it has no train and dev."]
    if not all(sides.values()):
        raise Refused(f"{features} holds no pair of encoders with train and dev:\n{listing(notes)}")
    loaded = [loading.load(features, text.name, image.name, tests=False) for text, image in product(*sides.values())]
    different, doubles = without_doubles(loaded)
    return different, [*notes, *doubles, *dict.fromkeys(note for data in different for note in data.notes)]


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
    """Every head on every pair; a head of one modality once for each of its encoders."""
    found: dict[tuple[str, ...], Task] = {}
    for head in heads:
        for data in loaded:
            task = Task(head, data)
            names = [encoder.name for encoder in task.encoders.values()]
            found.setdefault((head, *names), task)
    return list(found.values())
