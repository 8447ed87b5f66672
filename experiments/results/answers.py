"""Answers to questions that are asked of a comparison later on, beside its files: <name>.json, .csv, .md and .tex.

They name the comparison's run: those of another are not read, and compare removes them.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments import tables, words
from experiments.data import Data
from experiments.evaluate import field_slices
from experiments.evaluate.field_slices import FieldSlices
from experiments.results import frames
from experiments.results.folder import Results
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
