"""Answers to questions that are asked of a comparison later on, beside its files: <name>.json, .csv, .md and .tex.

They name the comparison's run: those of another are not read, and compare removes them.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments import tables, words
from experiments.evaluate import learning
from experiments.evaluate.field_slices import FieldSlices
from experiments.evaluate.operating_points import OperatingPoints
from experiments.results import boards, frames
from experiments.results.folder import Results
from experiments.results.learning import LearningCurve, Replaced
from experiments.results.records import revive, to_json
from extract.errors import Failed, Refused
from extract.files import write_text

if TYPE_CHECKING:
    import pandas as pd

Answer = TypeVar("Answer")


def write(
    out: Path, name: str, answer: Any, frame: "pd.DataFrame", shown: Sequence[tables.Table], said: Sequence[str]
) -> None:
    """Write an answer, a dataclass with its comparison's `run`, each file whole. Raises Failed when the disk refuses.

    frame: for .csv. shown, said: tables and sentences for .md; the tables are those of .tex.
    """
    page = [f"# {shown[0].title}", *(f"- {sentence}" for sentence in said), *map(tables.markdown, shown)]
    texts = {
        "csv": frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"),
        "md": "\n\n".join([*page, f"run: {answer.run}"]) + "\n",
        "tex": "\n\n".join(map(tables.latex, shown)) + "\n",
        "json": to_json(answer),
    }
    try:
        for ending, text in texts.items():
            write_text(out / f"{name}.{ending}", text)
    except OSError as error:
        raise Failed(f"{out} cannot be written: {error.strerror}") from None


def write_slices(out: Path, results: Results) -> None:
    """Write what cutting a comparison by columns of the manifest came to, as slices_by_<field>.* in `out`."""
    best, judged = results.best_on_dev, results.comparison.judged
    for field, answer in results.by_field.items():
        shown = [field_table(answer, best, split) for split in judged]
        name = f"slices_by_{re.sub(r'[^A-Za-z0-9]+', '_', field)}"
        write(out, name, answer, frames.field_slices(answer), shown, words.field_slices(answer, best))


def operating_tables(answer: OperatingPoints, head: str, splits: Sequence[str]) -> list[tables.Table]:
    """Return a head's operating points, a table for each of these splits."""
    its = {split: [each for each in answer.points if (each.head, each.split) == (head, split)] for split in splits}
    return [tables.operating_table(its[split], f"Operating points of {head} on {split}") for split in its if its[split]]


def more_labels(curve: LearningCurve, reports: Path) -> tuple[list[str], list[tables.Table], list[Replaced]]:
    """Return a curve in sentences and tables, and what other encoders bring by the leaderboard in the same folder."""
    others, why = learning.beside(curve, boards.read(reports / boards.NAME))
    said = [*words.learning(curve), *words.other_encoders(others, why, curve.splits)]
    return said, tables.learning_tables(curve, others), others


def field_table(answer: FieldSlices, head: str, split: str) -> tables.Table:
    its = [each for each in answer.slices if (each.head, each.split) == (head, split)]
    return tables.field_table(its, answer.field, f"{head} on {split} by {answer.field}")


def sliced(out: Path, run: str) -> list[FieldSlices]:
    """Return all slices by a column that were asked for of this run."""
    found = [read(out, path.stem, FieldSlices, run) for path in sorted(out.glob("slices_by_*.json"))]
    return [each for each in found if each]


def read(out: Path, name: str, kind: type[Answer], run: str) -> Answer | None:
    """Return what `write` has written of this run; None where there is none. Raises Refused for a damaged file."""
    path = out / f"{name}.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        answer: Answer = revive(kind, value)
        return answer if value["run"] == run else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{path} cannot be read ({type(error).__name__}: {error}); delete it and ask again") from None
