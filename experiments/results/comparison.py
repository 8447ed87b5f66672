"""What a comparison came to, in memory: its record, every run, what every head says of every meme; as pandas frames."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.data import Data, Split
from experiments.evaluate.scores import records
from experiments.evaluate.tests import highest
from experiments.results import frames, models
from experiments.results.frames import columns, frame, some
from experiments.results.records import NAN, Comparison, Figure, Record, Row, SplitSize
from experiments.training import Trained
from extract.store import NO_LABEL
from heads.metrics import probabilities

if TYPE_CHECKING:
    import pandas as pd

    from experiments.evaluate.field_slices import FieldSlices


@dataclass(frozen=True)
class HeadPredictions:
    """What a head or a reference says of a split's memes."""

    name: str
    seeds: list[int]
    by_run: Float[np.ndarray, "run meme"]  # probability of label 1

    @property
    def probability(self) -> Float[np.ndarray, " meme"]:
        """The mean over runs."""
        return self.by_run.mean(axis=0)

    @property
    def says_one(self) -> Bool[np.ndarray, " meme"]:
        """Whether the runs' mean probability reaches one half."""
        return self.probability >= 0.5


@dataclass(frozen=True)
class SplitPredictions:
    """A split's memes, and what every head and reference says of them."""

    split: str
    ids: list[str]
    label: Int[np.ndarray, " meme"]  # 0, 1, or -1 where there is none
    heads: dict[str, HeadPredictions]

    @property
    def labelled(self) -> Bool[np.ndarray, " meme"]:
        return self.label != NO_LABEL

    @property
    def positive(self) -> Bool[np.ndarray, " meme"]:
        return self.label == 1

    def right(self, head: str) -> Bool[np.ndarray, " meme"]:
        """Whether a head's mean probability falls on the label's side of one half; False where there is no label."""
        return (self.heads[head].says_one == self.positive) & self.labelled


@dataclass(frozen=True)
class Results:
    """What a comparison came to; as pandas frames: `table`, `tests` (with their power), `predictions`, `runs`, `slices`
    and, where that was asked for, `ablations`, `field_slices`, `gaps`. Another dataset's tests are splits of `table`.
    """

    comparison: Comparison
    records: list[Record]
    predicted: dict[str, SplitPredictions]  # by split
    history: dict[str, models.SavedHistory]  # by head; a head whose model is gone is missing
    by_field: "dict[str, FieldSlices]" = field(default_factory=dict)  # where `slice_by` was asked for; not read back

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each split, head or reference and threshold ("fixed" is 0.5, "dev" the one tuned there).

        Every metric has four columns, as in comparison.csv: _mean, _sd over seeds, _low and _high of its interval.
        """
        return frame(
            some(row, "split", "name", "kind", "seeds") | {"chosen_by": by, "threshold": threshold} | columns(figures)
            for row in self.comparison.rows
            for by, threshold, figures in (("fixed", 0.5, row.metrics), ("dev", row.threshold, row.metrics | row.tuned))
            if by == "fixed" or row.tuned
        )

    @property
    def tests(self) -> "pd.DataFrame":
        """A row for each tested pair; `family` says which of them are Holm-corrected together."""
        comparison = self.comparison
        families = {"fusion": comparison.pairs, "others": comparison.other_pairs, "linear": comparison.linear}
        return frame(
            {"family": family} | asdict(pair) | {"difference": pair.difference}
            for family, pairs in families.items()
            for pair in pairs
        )

    @property
    def ablations(self) -> "pd.DataFrame":
        """A row for each split, head, side and way to take it away; empty unless `ablate` was asked for."""
        return frame(asdict(each) | {"lost": each.lost} for each in self.comparison.ablations)

    @property
    def slices(self) -> "pd.DataFrame":
        """A row for each judged split, slice (by word pieces, by what train holds) and head: memes, AUC-ROC on it."""
        return frame(
            {"split": piece.split, "slice": piece.name}
            | some(piece, "memes", "positive")
            | {"head": head}
            | columns({"auc_roc": figure})
            for piece in self.comparison.slices
            for head, figure in piece.auc_roc.items()
        )

    @property
    def field_slices(self) -> "pd.DataFrame":
        """A row for each column of `slice_by`, judged split, head and value; empty unless that was asked for."""
        return frames.together(map(frames.field_slices, self.by_field.values()))

    @property
    def gaps(self) -> "pd.DataFrame":
        """A row for each column of `slice_by`, judged split, head and rate: the largest gap between values, tested."""
        return frame({"field": name} | asdict(gap) for name, answer in self.by_field.items() for gap in answer.gaps)

    @property
    def predictions(self) -> "pd.DataFrame":
        """A row for each split, head, seed and meme: its label (-1 where there is none) and probability of 1."""
        import pandas as pd

        parts = [
            pd.DataFrame(
                {"split": split.split, "id": split.ids, "label": split.label, "head": head.name}
                | {"seed": seed, "probability": run}
            )
            for split in self.predicted.values()
            for head in split.heads.values()
            for seed, run in zip(head.seeds, head.by_run, strict=True)
        ]
        return frames.together(parts)

    @property
    def runs(self) -> "pd.DataFrame":
        """A row for each head, seed and split: metrics at 0.5, and, as tuned_*, at dev's threshold."""
        names = ("head", "kind", "seed", "split", "memes", "best_epoch", "threshold", "temperature", "seconds")
        return frame(
            some(run, *names) | run.metrics | {f"tuned_{name}": value for name, value in run.tuned.items()}
            for run in self.records
        )

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
    def best_on_dev(self) -> str:
        """The head with the highest AUC-ROC on dev: test has no say in it."""
        return str(highest(list(self.rows(self.dev).values()), self.heads))

    def auc(self, head: str, split: str) -> Figure:
        """AUC-ROC; undefined for a head, reference or split that was not scored."""
        row = self.rows(split).get(head)
        return row.metrics["auc_roc"] if row else Figure(NAN)

    def size(self, split: str) -> SplitSize:
        return next(size for size in self.comparison.splits if size.name == split)

    def rows(self, split: str) -> dict[str, Row]:
        """The table's rows of a split by name; empty where it was only predicted."""
        return {row.name: row for row in self.comparison.rows if row.split == split}


def results_of(data: Data, trained: Sequence[Trained], comparison: Comparison) -> Results:
    """Put together what a folder would hold, without one."""
    splits = [data.dev, *data.tests]
    labels = {split.name: split.pairs.label for split in splits}
    features = {identity.name: identity.fingerprint for identity in comparison.encoders.values()}
    return Results(
        comparison,
        records(trained, labels, features, comparison.code, comparison.run),
        {split.name: predicted(split, trained) for split in splits},
        {each.name: models.SavedHistory.of(each.fitted) for each in trained if each.fitted},
    )


def predicted(split: Split, trained: Sequence[Trained]) -> SplitPredictions:
    heads = {
        each.name: HeadPredictions(
            each.name,
            [settings.get("seed", 0) for settings in each.settings],
            probabilities(each.logit[split.name], each.temperature).numpy(),
        )
        for each in trained
    }
    return SplitPredictions(split.name, split.pairs.ids.tolist(), split.pairs.label.astype(int), heads)
