"""Memes to score: a split of a dataset, or JSON lines; what cannot be used is named, all together. Scores as CSV."""

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from experiments.scoring.scorer import Score, Scorer, Unscored
from extract import archive, dataset
from extract.errors import Failed, Refused, listing
from extract.files import write_text
from extract.places import Place

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

        Where an operating point was asked for, a `decision` follows the label: allow, review or block. Where words were
        read from pictures, they follow the head.
        """
        import pandas as pd

        columns = {
            "id": self.ids,
            "probability": [score.probability for score in self.scores],
            "label": [score.label for score in self.scores],
            **({"decision": [score.decision for score in self.scores]} if self.scorer.at else {}),
            "head": [score.head for score in self.scores],
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


def of_split(data: Place, split: str, quiet: bool, sides: Collection[str] = dataset.SIDES) -> dataset.Split:
    """Read one split of a dataset folder, faults and all. sides: what a row must have, "text", "image" or both.

    Raises Refused when the split is not there, or is not one.
    """
    names = dataset.choose_splits(data, split)
    if len(names) > 1:
        raise Refused(f"--split {split} is {', '.join(names)}: name one of them")
    if archive.unpack_images(data) and not quiet:
        print(f"unpacked {data / archive.ARCHIVE}", file=sys.stderr)
    return dataset.read(data, names[0], sides)


def of_lines(source: str, data: Place | None, sides: Collection[str] = dataset.SIDES) -> dataset.Split:
    """Read JSON lines as in a split's file, from a file or, for "-", from stdin.

    data: the folder that `img` starts from; by default the file's own, for stdin the current one.
    sides: what a row must have, "text", "image" or both.
    Raises Refused where there are none.
    """
    path = Path(source)
    try:
        if source == "-":
            split = dataset.read_lines(sys.stdin.buffer, "stdin", data or Path(), sides)
        else:
            with path.open("rb") as file:
                split = dataset.read_lines(file, path.stem, data or path.parent, sides)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if not split.memes and not split.faults:
        raise Refused(f"{'stdin' if source == '-' else path} holds no rows")
    return split


def score(split: dataset.Split, scorer: Scorer, *, skip: bool, quiet: bool) -> Predictions:
    """Score a split's memes. skip: leave out what cannot be used. quiet: show no progress.

    Raises Refused for rows that cannot be used, Failed for images that cannot be decoded, naming every one.
    """
    if not skip:
        dataset.refuse_faults([split])
    memes = split.memes
    with tqdm(desc="encoding", unit=" contents", disable=quiet or None, leave=False, delay=0.5) as bar:
        scores, bad = scorer.score_all(
            [Unscored(meme.text if meme.typed else None, meme.image) for meme in memes], bar.update
        )
    undecodable = [f"{memes[row].id}  {memes[row].image}: {reason}" for row, reason in sorted(bad.items())]
    if bad and not skip:
        raise Failed(
            f"{len(bad):,} of {len(memes):,} images cannot be decoded; nothing was written.\n{listing(undecodable)}\n"
            "The others' vectors are kept. Replace these images and run again, or pass --on-error skip."
        )
    pairs = [(meme.id, its) for meme, its in zip(memes, scores, strict=True) if its is not None]
    left_out = [str(fault) for fault in split.faults] + undecodable
    return Predictions([name for name, _ in pairs], [its for _, its in pairs], scorer, left_out)
