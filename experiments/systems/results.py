"""What a run came to: its record, which tables are made from, and the other files of its folder."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.data import Data, Split
from experiments.evaluate.comparison import rows_of
from experiments.evaluate.scores import Scores, mean_threshold, records
from experiments.evaluate.tests import highest
from experiments.results.comparison import predicted
from experiments.results.folder import predictions_csv
from experiments.results.records import Row, code_version, revive, to_json, to_lines
from experiments.systems.encoders import UsedEncoder
from experiments.systems.inputs import digest_of
from experiments.systems.published import Published
from experiments.training import Trained
from extract.dataset import SIDES
from extract.errors import Failed
from extract.files import replacing, write_text
from extract.store import EncoderIdentity

RESULT = "result.json"
SCORES = "scores.safetensors"
MEMEFUSE = "memefuse"  # the system's name under which memefuse's own heads are recorded


@dataclass(frozen=True, kw_only=True)
class Result:
    """One system under one setting, or memefuse's own heads on one pair of encoders."""

    system: str
    setting: str
    text: UsedEncoder
    image: UsedEncoder
    data: str  # folder
    features: str  # folder
    content: str  # sha256 of the memes of all splits, before any draw: what runs on the same memes share
    train_memes: int  # that were trained on
    train_of: int  # that train holds
    drawn: int = 0  # memes that --rows drew of them; 0: all
    balanced: bool = False  # by undersampling
    memes: dict[str, int]  # labelled memes by split, dev first
    seeds: int
    steps: int = 0  # of the optimiser, the most of any seed; 0 where nothing counts them
    capped: bool = False  # whether --steps ended it
    epochs: int  # at most
    model: dict[str, Any] = field(default_factory=dict)  # its Shape; empty where an earlier version wrote the record
    seconds: float  # wall time of training, all seeds together
    device: str
    precision: str
    rows: list[Row]  # by head and split
    threshold: float  # of the seeds' mean probability, tuned on dev; of the first head where there are several
    published: list[Published] = field(default_factory=list)
    notes: list[str]
    code: str
    key: str  # of all that changes a number

    @property
    def is_own(self) -> bool:
        return self.system == MEMEFUSE

    @property
    def trained(self) -> tuple[str, ...]:
        """Kinds of the encoders that trained."""
        return tuple(kind for kind in SIDES if getattr(self, kind).trains)

    @property
    def stands_in(self) -> bool:
        return self.text.stand_in or self.image.stand_in

    @property
    def partial(self) -> bool:
        """Whether it was trained on fewer memes or steps than published."""
        return self.capped or self.drawn > 0

    def of_head(self, head: str) -> dict[str, Row]:
        """A head's rows by split, dev first."""
        return {row.split: row for row in self.rows if row.name == head}

    def best_head(self, among: Sequence[str] | None = None) -> str:
        """The head with the highest AUC-ROC on dev, of all or of those named."""
        dev = [row for row in self.rows if row.split == next(iter(self.memes))]
        return str(highest(dev, among or [row.name for row in dev]))


def run_folder(out: Path, system: str, setting: str, key: str) -> Path:
    return out / "systems" / system / f"{setting}-{key[:8]}"


def folder_of(out: Path, result: Result) -> Path:
    return run_folder(out, result.system, result.setting, result.key)


def conclude(out: Path, trained: Sequence[Trained], joined: Data, **about: Any) -> Result:
    """Score what was trained on dev and test splits and write it all, the record last.

    about: a Result's fields that `trained` and `joined` do not tell.
    """
    dev, *_ = scored = joined.splits[1:]
    labelled = [split for split in scored if len(split.labelled)]
    result = Result(
        content=digest_of(joined.splits), train_of=len(joined.train), features=str(joined.features),
        memes={each.name: len(each.labelled) for each in labelled}, seeds=len(trained[0].settings),
        rows=[row for split in labelled for row in rows_of(scores_of(trained, split), split)[0]],
        threshold=mean_threshold(trained[0], dev.name, dev.pairs.label), code=code_version(), **about,
    )  # fmt: skip
    folder = folder_of(out, result)
    folder.mkdir(parents=True, exist_ok=True)
    if not result.is_own:
        features = {used.name: used.identity.fingerprint for used in (result.text, result.image)}
        labels = {split.name: split.pairs.label for split in scored}
        write_text(folder / "runs.jsonl", to_lines(records(trained, labels, features, result.code, result.key[:16])))
        for split in scored:
            write_text(folder / f"predictions_{split.name}.csv", predictions_csv(predicted(split, trained)))
        write_text(folder / "report.md", report(result, trained, labelled))
    write_scores(folder, trained, labelled)
    write_text(folder / RESULT, to_json(result))
    return result


def read_result(folder: Path) -> Result | None:
    """None where no run has ended, or one of another version of memefuse: its trainings can still be used."""
    path = folder / RESULT
    if not path.is_file():
        return None
    about = json.loads(path.read_text(encoding="utf-8"))
    try:
        for kind in SIDES:
            used = about[kind]
            if "identity" not in used:  # versions up to 0.1 wrote its parts side by side
                used["identity"] = asdict(
                    EncoderIdentity.from_json(kind, {"versions": {}} | used | {"name": used["slug"]})
                )
        return revive(Result, about)
    except KeyError as error:
        print(f"{path} has no {error}: another version wrote it; run the system again, it is quick", file=sys.stderr)
        return None


def all_results(out: Path) -> list[Result]:
    """Of every run under reports/systems, in the order of their folders."""
    results = [read_result(path.parent) for path in sorted((out / "systems").glob(f"*/*/{RESULT}"))]
    return [result for result in results if result is not None]


def scores_of(trained: Sequence[Trained], split: Split) -> list[Scores]:
    return [Scores.of(each, split.name, split.pairs.label) for each in trained]


def write_scores(folder: Path, trained: Sequence[Trained], splits: Sequence[Split]) -> None:
    """Keep every run's logits on labelled memes, for tests that pair them with other systems' meme by meme."""
    tensors: dict[str, Tensor] = {}
    for split in splits:
        labelled = split.labelled
        tensors[f"{split.name} label"] = torch.from_numpy(labelled.pairs.label.astype(np.int64))
        tensors[f"{split.name} group"] = torch.from_numpy(labelled.group.astype(np.int64))
        for each in scores_of(trained, split):
            tensors[f"{split.name} logit {each.name}"] = each.logit.contiguous()
            tensors[f"threshold {each.name}"] = each.threshold
            tensors[f"temperature {each.name}"] = each.temperature
    with replacing(folder / SCORES) as aside:
        save_file(tensors, aside)


def read_scores(folder: Path, split: str) -> tuple[dict[str, Scores], Int[np.ndarray, " meme"]]:
    """Every head's scores on a split by name, and the groups of memes that share a text or an image.

    Raises Failed without a file.
    """
    if not (folder / SCORES).is_file():
        raise Failed(f"{folder} has lost its {SCORES}: remove the folder and run the system again")
    held = load_file(folder / SCORES)
    label, start = held[f"{split} label"].numpy(), f"{split} logit "
    heads = [name.removeprefix(start) for name in held if name.startswith(start)]
    of_dev = {head: (held[f"threshold {head}"], held[f"temperature {head}"]) for head in heads}
    scores = {head: Scores(head, "system", split, held[start + head], label, *of_dev[head]) for head in heads}
    return scores, held[f"{split} group"].numpy()


def report(result: Result, trained: Sequence[Trained], splits: Sequence[Split]) -> str:
    """Confusion matrices and scikit-learn's classification reports, of the runs' mean probability."""
    from sklearn.metrics import classification_report, confusion_matrix

    lines, dev = [f"# {result.system} ({result.setting})"], splits[0]
    for each, split in product(trained, splits):
        scores, tuned = Scores.of(each, split.name, split.pairs.label), mean_threshold(each, dev.name, dev.pairs.label)
        for word, threshold in (("0.5", 0.5), ("the threshold tuned on dev", tuned)):
            given = (scores.probability.mean(axis=0) >= threshold).astype(int)
            matrix = confusion_matrix(scores.label, given, labels=[0, 1])
            metrics = classification_report(scores.label, given, labels=[0, 1], digits=3, zero_division=0)
            lines += [f"\n## {each.name}, {split.name}, at {word} ({threshold:.3f})\n"]
            lines += ["| | said 0 | said 1 |", "| --- | ---: | ---: |"]
            lines += [f"| is {truth} | {row[0]:,} | {row[1]:,} |" for truth, row in enumerate(matrix)]
            lines += ["\n```", metrics.rstrip(), "```"]
    return "\n".join(lines) + "\n"
