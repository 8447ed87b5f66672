"""A learning curve's folder: its record, written as JSON, CSV, Markdown and LaTeX."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.results.frames import columns, frame, some
from experiments.results.records import NAN, Figure, Pair, SplitSize, read_record
from extract.store import EncoderIdentity

if TYPE_CHECKING:
    import pandas as pd

NAME = "learning_curve"  # of its files, and of its folder below a comparison's


@dataclass(frozen=True)
class Point:
    """A head or reference, trained on subsets of one size, on one split."""

    head: str
    kind: str  # "head" or "reference"
    split: str
    size: int  # memes asked for
    memes: float  # in the subsets, mean over draws
    draws: int  # of subsets
    seeds: int  # of each draw
    auc_roc: Figure  # over draws, seeds and memes; sd is over draws


@dataclass(frozen=True)
class PowerLaw:
    """What a head's AUC-ROC gains from the smallest to the largest size, and may gain with twice the labels."""

    head: str
    split: str
    smallest: float  # memes
    largest: float
    rise: float  # of AUC-ROC from the smallest to the largest
    rise_low: float  # 95% interval
    rise_high: float
    distance: float = NAN  # AUC(n) = limit - distance (n / largest)^-exponent
    exponent: float = NAN
    limit: float = NAN
    p: float = NAN  # that sizes on the law would lie as far from it as they do
    gain: float = NAN  # of AUC-ROC with twice the largest size
    gain_low: float = NAN
    gain_high: float = NAN
    refused: str = ""  # or "too few memes", "too few sizes", "no rise", "no fit", "poor fit", "too wide": says nothing

    def but(self, **changes: Any) -> "PowerLaw":
        return replace(self, **changes)


@dataclass(frozen=True)
class Replaced:
    """A head of a curve with the best other encoders of a leaderboard in place of the curve's, on one split."""

    head: str
    own: str  # the curve's encoders
    other: str  # the best on dev of the others
    of_own: Figure  # AUC-ROC
    of_other: Figure
    pair: Pair  # the others against the curve's, on the same memes


@dataclass(frozen=True)
class LearningCurve:
    """All that a learning curve shows; as pandas frames: `table`, `laws_table`."""

    encoders: dict[str, EncoderIdentity]  # by side
    splits: list[SplitSize]  # train, dev and the test splits
    sizes: list[int]
    draws: int
    seeds: int
    settings: dict[str, dict[str, Any]]  # by head, without the seed
    points: list[Point]
    judged: list[str]  # the splits that the power laws are of: test splits with both labels, else dev
    laws: list[PowerLaw]
    notes: list[str]
    code: str
    features: str = ""  # the folder that vectors were read from

    def of(self, head: str, split: str) -> list[Point]:
        """Return a head's figures on a split, the smallest size first."""
        return [point for point in self.points if (point.head, point.split) == (head, split)]

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each split, head or reference and size."""
        names, parts = [each.name for each in fields(Point)][:-1], [each.name for each in fields(Figure)]
        return frame(some(point, *names) | columns({"auc_roc": point.auc_roc}, parts) for point in self.points)

    @property
    def laws_table(self) -> "pd.DataFrame":
        """A row for each head or reference and judged split."""
        return frame(map(asdict, self.laws))

    def same_memes(self, splits: list[SplitSize], encoders: Mapping[str, EncoderIdentity]) -> bool:
        """Whether these are the memes of train and dev, and the vectors, that it was made of."""
        its, others = ({side: each.fingerprint for side, each in every.items()} for every in (self.encoders, encoders))
        return its == others and [each.digest for each in self.splits[:2]] == [each.digest for each in splits[:2]]


def read_learning_curve(folder: Path) -> LearningCurve | None:
    """Return what lies there; None where there is none. Raises Refused for what another version wrote."""
    return read_record(folder / f"{NAME}.json", LearningCurve, "experiments.learning_curve")
