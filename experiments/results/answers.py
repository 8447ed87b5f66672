"""Answers to questions that are asked of a comparison later on, beside its files: <name>.json, .csv, .md and .tex.

They name the comparison's run: those of another are not read, and compare removes them.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.evaluate import learning
from experiments.evaluate.field_slices import FieldSlices
from experiments.results import boards, frames
from experiments.results.folder import Results
from experiments.results.learning import LearningCurve, Replaced
from experiments.results.records import read_record, write_record
from experiments.tables import Table, latex_page, page
from experiments.words import learning as learning_words
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


def write_slices(out: Path, results: Results) -> None:
    """Write what cutting a comparison by columns of the manifest came to, as slices_by_<field>.* in `out`."""
    best, judged = results.best_on_dev, results.comparison.judged
    for field, answer in results.by_field.items():
        shown = [field_table(answer, best, split) for split in judged]
        name = f"slices_by_{re.sub(r'[^A-Za-z0-9]+', '_', field)}"
        write(out, name, answer, frames.field_slices(answer), shown, words.field_slices(answer, best))


def more_labels(curve: LearningCurve, reports: Path) -> tuple[list[str], list[Table], list[Replaced]]:
    """Return a curve in sentences and tables, and what other encoders bring by the leaderboard in the same folder."""
    others, why = learning.beside(curve, boards.read_leaderboard(reports / boards.NAME))
    said = [*learning_words.learning(curve), *learning_words.other_encoders(others, why, curve.splits)]
    return said, learning_words.learning_tables(curve, others), others


def sliced(out: Path, run: str) -> list[FieldSlices]:
    """Return all slices by a column that were asked for of this run."""
    names = [path.stem for path in sorted(out.glob("slices_by_*.json"))]
    return [each for name in names if (each := read_answer(out, name, FieldSlices, run, "experiments.compare"))]


def read_answer(
    out: Path, name: str, kind: type[Answer], run: str, command: str = "experiments.operating_points"
) -> Answer | None:
    """Return what `write` has written of this run; None where there is none. command: what asks for it.

    Raises Refused for a damaged file.
    """
    answer: Any = read_record(out / f"{name}.json", kind, command)
    return answer if answer and answer.run == run else None
