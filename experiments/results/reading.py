"""What `compare` left in a reports folder, read back: the comparison, every meme's probabilities, learning curves."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.results import records
from experiments.results.records import NAN, Comparison, Figure, Record, SplitSize
from extract.errors import Refused, listing
from extract.store import NO_LABEL

AGAIN = "Run: python -m experiments.compare --out {folder}"


@dataclass(frozen=True)
class Opinion:
    """What a head or a reference says of a split's memes."""

    name: str
    by_run: Float[np.ndarray, "run meme"]  # probability of label 1
    probability: Float[np.ndarray, " meme"]  # mean over runs

    @property
    def says_one(self) -> Bool[np.ndarray, " meme"]:
        """Whether the runs' mean probability reaches one half."""
        return self.probability >= 0.5


@dataclass(frozen=True)
class Predicted:
    """A split's memes, and what every head and reference says of them."""

    split: str
    ids: list[str]
    label: Int[np.ndarray, " meme"]  # 0, 1, or -1 where there is none
    opinions: dict[str, Opinion]

    @property
    def labelled(self) -> Bool[np.ndarray, " meme"]:
        return self.label != NO_LABEL

    @property
    def positive(self) -> Bool[np.ndarray, " meme"]:
        return self.label == 1

    def right(self, head: str) -> Bool[np.ndarray, " meme"]:
        """Whether a head's mean probability falls on the label's side of one half; False where there is no label."""
        return (self.opinions[head].says_one == self.positive) & self.labelled


@dataclass(frozen=True)
class History:
    """A head's learning curves; NaN once a run has stopped."""

    train_loss: Float[np.ndarray, "epoch run"]
    dev_loss: Float[np.ndarray, "epoch run"]
    dev_auc: Float[np.ndarray, "epoch run"]
    best_epoch: Int[np.ndarray, " run"]  # 1 is the first


@dataclass(frozen=True)
class Findings:
    """All that a report is made from."""

    comparison: Comparison
    runs: list[Record]
    predicted: dict[str, Predicted]  # by split
    history: dict[str, History]  # by head; a head whose file is gone is missing

    @property
    def heads(self) -> list[str]:
        """Trained heads in the table's order."""
        return list(self.comparison.settings)

    @property
    def judged(self) -> str:
        """The first split on which fusions were judged: a test split where there is one with both labels."""
        return self.comparison.judged[0]

    @property
    def dev(self) -> str:
        return next(split for split in self.predicted if split.startswith("dev"))

    @property
    def chosen(self) -> str:
        """The head with the highest AUC-ROC on dev: test has no say in it."""
        return max(self.heads, key=lambda head: self.auc(head, self.dev).mean)

    def auc(self, head: str, split: str) -> Figure:
        """AUC-ROC; undefined for a head, reference or split that was not scored."""
        row = self.rows(split).get(head)
        return row.metrics["auc_roc"] if row else Figure(NAN)

    def size(self, split: str) -> SplitSize:
        return next(size for size in self.comparison.splits if size.name == split)

    def rows(self, split: str) -> dict[str, records.Row]:
        """The table's rows of a split by name; empty where it was only predicted."""
        return {row.name: row for row in self.comparison.rows if row.split == split}


def read(folder: Path) -> Findings:
    """Raises Refused when there is no comparison, or its files do not belong together."""
    path = folder / "comparison.json"
    if not path.is_file():
        raise Refused(f"{folder} holds no comparison.json. {AGAIN.format(folder=folder)}")
    try:
        comparison = Comparison.from_json(path.read_text(encoding="utf-8"))
        runs = records.from_lines((folder / "runs.jsonl").read_text(encoding="utf-8"))
        sizes = [size for size in comparison.splits if size.name != "train"]
        predicted = {size.name: predictions(folder / f"predictions_{size.name}.csv", size.name) for size in sizes}
    except FileNotFoundError as error:
        raise Refused(f"{error.filename} is missing. {AGAIN.format(folder=folder)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{folder} holds what another version of compare wrote ({type(error).__name__}: {error}). "
            f"{AGAIN.format(folder=folder)}"
        ) from None
    refuse_strangers(folder, comparison, predicted)
    found = {head: history(folder / "models" / f"{head}.safetensors") for head in comparison.settings}
    return Findings(comparison, runs, predicted, {head: curve for head, curve in found.items() if curve})


def predictions(path: Path, split: str) -> Predicted:
    """A predictions_<split>.csv: for every head the same memes in the same order."""
    labels: dict[str, int] = {}
    by_head: dict[str, list[list[float]]] = defaultdict(list)
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            labels[row["id"]] = int(row["label"]) if row["label"] else NO_LABEL
            by_head[row["head"]].append([float(value) for value in row["by_run"].split()])
    opinions = {}
    for head, values in by_head.items():
        by_run = np.array(values).T
        opinions[head] = Opinion(head, by_run, by_run.mean(axis=0))
    return Predicted(split, list(labels), np.array(list(labels.values()), dtype=int), opinions)


def refuse_strangers(folder: Path, comparison: Comparison, predicted: dict[str, Predicted]) -> None:
    """Raise Refused when predictions are not of the comparison's memes and heads."""
    odd = []
    for size in comparison.splits:
        found = predicted.get(size.name)
        if found and len(found.ids) != size.memes:
            odd.append(f"predictions_{size.name}.csv has {len(found.ids):,} memes, comparison.json {size.memes:,}")
        if found and (absent := [head for head in comparison.settings if head not in found.opinions]):
            odd.append(f"predictions_{size.name}.csv has nothing of {', '.join(absent)}")
    if odd:
        raise Refused(f"{folder} holds files of two comparisons:\n{listing(odd)}\n{AGAIN.format(folder=folder)}")


def history(path: Path) -> History | None:
    """A head's learning curves from its model file, without loading its weights; None where there is no such file."""
    from safetensors import safe_open

    if not path.is_file():
        return None
    with safe_open(path, framework="np") as file:
        train, dev, auc = (file.get_tensor(f"history.{name}") for name in ("train_loss", "dev_loss", "dev_auc"))
        return History(train, dev, auc, file.get_tensor("best_epoch"))
