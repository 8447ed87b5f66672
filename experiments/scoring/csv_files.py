"""Scores as CSV, and a file that is written whole or not at all."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.scoring.scorer import Score
from extract.errors import Failed, Refused
from extract.files import write_text


def prepare(path: Path) -> None:
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
    """Write aside and rename. Raises Failed when the disk refuses."""
    try:
        write_text(path, text)
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}") from None


def predictions(ids: Sequence[str], scores: Sequence[Score]) -> str:
    """id, probability and label by the chosen head, its name, and every head's probability in a column of its own."""
    heads = list(scores[0].opinions) if scores else []
    header = ["id", "probability", "label", "head", *heads]
    rows = (
        [name, decimal(score.probability), score.label, score.head]
        + [decimal(score.opinions[head].probability) for head in heads]
        for name, score in zip(ids, scores, strict=True)
    )
    return comma_separated(header, rows)


def comma_separated(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def decimal(probability: float) -> str:
    return f"{probability:.6f}"
