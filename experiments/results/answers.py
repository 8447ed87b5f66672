"""Answers to questions that are asked of a comparison later on, beside its files: <name>.json, .csv, .md and .tex.

They name the comparison's run: those of another are not read, and compare removes them.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.data import Data
from experiments.evaluate import field_slices
from experiments.evaluate.field_slices import FieldSlices
from experiments.results import frames
from experiments.results.folder import Results
from experiments.results.records import read_record, write_record
from experiments.tables import Table, latex_page, page
from experiments.words import moderation as words
from experiments.words.moderation import field_table

if TYPE_CHECKING:
    import pandas as pd

Answer = TypeVar("Answer")


def write(
    out: Path, name: str, answer: Any, frame: "pd.DataFrame", shown: Sequence[Table], said: Sequence[str]
) -> None:
    """Write an answer, a dataclass with its comparison's `run`, each file whole. Raises Failed when the disk refuses.

    frame: for .csv. shown, said: tables and sentences for .md; the tables are those of .tex.
    """
    md = page(f"# {shown[0].title}", *(f"- {sentence}" for sentence in said), *shown, f"run: {answer.run}")
    write_record(out, name, answer, csv=frames.csv(frame), md=md, tex=latex_page(shown))


def slice_by(out: Path | None, results: Results, data: Data, field: str) -> FieldSlices:
    """Cut a comparison by a column of the manifest, and write what comes of it to slices_by_<field>.* in `out`.

    Raises Refused for a column that cannot be used.
    """
    answer = field_slices.field_slices(results, data, field)
    best, judged = results.best_on_dev, results.comparison.judged
    shown = [field_table(answer, best, split) for split in judged]
    if out is not None:
        name = f"slices_by_{re.sub(r'[^A-Za-z0-9]+', '_', field)}"
        write(out, name, answer, frames.field_slices(answer), shown, words.field_slices(answer, best))
    return answer


def sliced(out: Path, run: str) -> list[FieldSlices]:
    """Return all slices by a column that were asked for of this run."""
    names = [path.stem for path in sorted(out.glob("slices_by_*.json"))]
    return [each for name in names if (each := read(out, name, FieldSlices, run, "experiments.compare"))]


def read(
    out: Path, name: str, kind: type[Answer], run: str, command: str = "experiments.operating_points"
) -> Answer | None:
    """Return what `write` has written of this run; None where there is none. command: what asks for it.

    Raises Refused for a damaged file.
    """
    answer: Any = read_record(out / f"{name}.json", kind, command)
    return answer if answer and answer.run == run else None
