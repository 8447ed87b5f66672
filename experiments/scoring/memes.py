"""What the heads say of many memes, as a table and as CSV; what cannot be used is named, all together."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.scoring import rows
from experiments.scoring.scorer import Score, Scorer, Unscored
from experiments.scoring.vectors import encoding
from extract import dataset
from extract.errors import Failed, Refused
from extract.files import write_text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Predictions:
    """What the heads say of memes, in their source's order."""

    ids: list[str]
    scores: list[Score]
    scorer: Scorer
    left_out: list[str]  # of each meme that could not be used, its id and why

    @property
    def table(self) -> "pd.DataFrame":
        """Return a row for each meme: id, probability, label, the deciding head, and every head's probability.

        Where an operating point was asked for, a `decision` follows the label: allow, review or block. Where examples
        were given, the number of those that joined the head follows it, and then words that were read from pictures.
        """
        import pandas as pd

        columns = {
            "id": self.ids,
            "probability": [score.probability for score in self.scores],
            "label": [score.label for score in self.scores],
            **({"decision": [score.decision for score in self.scores]} if self.scorer.at else {}),
            "head": [score.head for score in self.scores],
            **({"examples": self.scorer.added.memes} if self.scorer.added else {}),
        }
        read = {"read": [score.read for score in self.scores]}
        columns |= read if any(text is not None for text in read["read"]) else {}
        heads = list(self.scores[0].opinions) if self.scores else []
        return pd.DataFrame(
            columns | {head: [score.opinions[head].probability for score in self.scores] for head in heads}
        )


def csv_text(table: "pd.DataFrame", digits: int) -> str:
    """Return a table as CSV. digits: of probabilities."""
    return str(table.to_csv(index=False, float_format=f"%.{digits}f", lineterminator="\n"))


def refuse_unwritable(path: Path) -> None:
    """Raise Refused where `path` cannot be written, before any work."""
    if path.is_dir():
        raise Refused(f"--out {path}: is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--out {path}: cannot write there: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK):
        raise Refused(f"--out {path}: cannot write there: permission denied")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises Failed when the disk refuses."""
    try:
        write_text(path, text)
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}") from None


def score(split: dataset.ManifestSplit, scorer: Scorer, *, skip: bool, quiet: bool) -> Predictions:
    """Score a split's memes. skip: leave out what cannot be used. quiet: show no progress.

    Raises Refused for rows that cannot be used, Failed for images that cannot be decoded, naming every one.
    """
    if not skip:
        dataset.refuse_faults([split])
    memes = split.memes
    with encoding(quiet) as done:
        scores, bad = scorer.score_all([Unscored.of(meme) for meme in memes], done)
    undecodable = rows.undecodable(memes, bad, skip)
    pairs = [(meme.id, its) for meme, its in zip(memes, scores, strict=True) if its is not None]
    left_out = [str(fault) for fault in split.faults] + undecodable
    return Predictions([name for name, _ in pairs], [its for _, its in pairs], scorer, left_out)
