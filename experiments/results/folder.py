"""A comparison's folder, written whole or not at all, and read back.

comparison.md, .csv, .tex and .json, runs.jsonl, predictions_<split>.csv and models/. comparison.json names the others
by their sha256, so that a file of another comparison is seen. All are written aside, in STAGED; its renaming to
COMPLETE is the moment at which the new comparison is there. From then on whoever comes next, a reader or a writer,
moves its files into place, and removes what was made from the comparison before.
"""

import csv
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments import data as stored
from experiments.data import Data
from experiments.results import frames, models
from experiments.results.comparison import HeadPredictions, Results, SplitPredictions
from experiments.results.records import Comparison, Record, SplitSize, compare_again, from_lines, to_lines
from experiments.training import Trained
from experiments.words.comparison_tables import comparison_latex, comparison_markdown
from extract.errors import Refused, listing
from extract.locks import locked
from extract.places import Place, digest, place
from extract.store import NO_LABEL
from heads.models import HEADS

STAGED, COMPLETE = ".staged", ".complete"
RUNS = "runs.jsonl"  # a record per run and split
ABLATION = "ablation.csv"  # what each head loses without a side, where that was asked for
COLUMNS = ("id", "label", "head", "seed", "probability")
ANSWERS = ("operating_points", "slices_by_*")  # of results.answers, to questions asked of a comparison


def prepare(out: Path, inside: str = "models") -> None:
    """Raise Refused where nothing can be written, before any work. No folder is left that was not there.

    inside: a folder that `out` is to hold.
    """
    wanted = out / inside
    made: list[Path] = []
    try:
        made += [each for each in (wanted, *wanted.parents) if not each.exists()]
        wanted.mkdir(parents=True, exist_ok=True)
        writable = os.access(out, os.W_OK)
    except OSError as error:
        raise Refused(f"--out {out}: cannot write there: {error.strerror}") from None
    finally:
        for each in made:
            with suppress(OSError):  # not made, or another process has put something there
                each.rmdir()
    if not writable:
        raise Refused(f"--out {out}: cannot write there: permission denied")


def refuse_other_dataset(out: Path, splits: Sequence[SplitSize]) -> None:
    """Raise Refused where `out` holds a comparison on other memes, not one of its splits among these, or one that
    cannot be read."""
    path = out / "comparison.json"
    try:
        there = Comparison.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{path} is not what this version can read ({type(error).__name__}: {error}), so it may be of other memes; "
            "name another folder with --out, or replace it with --overwrite"
        ) from None
    old = [split for split in there.splits if split.digest]
    if old and not any(one.same_memes(other) for one in old for other in splits):
        raise Refused(
            f"{out} holds a comparison on other memes (of {there.features}, {there.splits[0].memes:,} in train); name "
            "another folder with --out, or replace it with --overwrite"
        )


def write(out: Path, data: Data, trained: Sequence[Trained], results: Results) -> None:
    """Write a comparison's files in the place of those of the comparison before, all or none."""
    with locked(out, "another comparison", "--out"):
        complete(out)
        staged = out / STAGED
        shutil.rmtree(staged, ignore_errors=True)
        (staged / "models").mkdir(parents=True)
        heads = [each for each in trained if each.fitted is not None]
        # a hundred runs' weights take longer to hash and write than all that is said of them
        with ThreadPoolExecutor() as pool:
            how = staged / "models", out / "models", data, results.comparison
            saved = [pool.submit(models.save, each, *how) for each in heads]
            write_texts(staged, results)
            for each in saved:
                each.result()
        # runs.jsonl holds wall times, and comparison.json is to be the same each time
        files = {str(path.relative_to(staged)): digest(path) for path in walk(staged) if path.name != RUNS}
        comparison = replace(results.comparison, files=files)
        (staged / "comparison.json").write_text(comparison.to_json(), encoding="utf-8")
        for path in walk(staged):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        staged.rename(out / COMPLETE)
        complete(out)


def write_texts(folder: Path, results: Results) -> None:
    """All but comparison.json and models/."""
    comparison = results.comparison
    texts = {
        "comparison.md": comparison_markdown(comparison),
        "comparison.csv": frames.csv(results.table),
        "comparison.tex": comparison_latex(comparison),
        RUNS: to_lines(results.records),
    }
    texts |= {f"predictions_{split}.csv": predictions_csv(each) for split, each in results.predicted.items()}
    if comparison.ablations:
        texts[ABLATION] = frames.csv(results.ablations)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def predictions_csv(split: SplitPredictions) -> str:
    """A line for each head, seed and meme; the label is empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")  # three times as fast as a frame's
    writer.writerow(COLUMNS)
    labels = ["" if label == NO_LABEL else str(label) for label in split.label.tolist()]
    for head in split.heads.values():
        for seed, run in zip(head.seeds, head.by_run.tolist(), strict=True):
            writer.writerows(
                (name, label, head.name, seed, f"{probability:.6f}")
                for name, label, probability in zip(split.ids, labels, run, strict=True)
            )
    return out.getvalue()


def complete(out: Path) -> None:
    """Move a comparison that was written whole into place, and remove what was made from the one before."""
    ready = out / COMPLETE
    if not ready.is_dir():
        return
    names = sorted((path.relative_to(ready) for path in walk(ready)), key=lambda name: name == Path("comparison.json"))
    if names:
        new = Comparison.from_json((ready / "comparison.json").read_text(encoding="utf-8")).files
        for path in made_from_a_comparison(out):
            if path.name != RUNS and str(path.relative_to(out)) not in new:
                path.unlink(missing_ok=True)
    for name in names:  # comparison.json last: until it is gone from here, a killed move is begun anew
        (out / name).parent.mkdir(exist_ok=True)
        os.replace(ready / name, out / name)
    shutil.rmtree(ready)


def made_from_a_comparison(out: Path) -> Iterator[Path]:
    """Yield what compare and report leave in a folder, this version and the one before; not comparison.json."""
    for pattern in ("comparison.md", "comparison.csv", "comparison.tex", RUNS, ABLATION, "predictions_*.csv"):
        yield from out.glob(pattern)
    yield from (out / "models" / f"{head}.{ending}" for head in HEADS for ending in ("json", "safetensors"))
    for name in ANSWERS:
        yield from (path for ending in ("json", "csv", "md", "tex") for path in out.glob(f"{name}.{ending}"))
    yield from (out / name for name in sorted(drawings(out / "report.md") - drawings(out / "dataset.md")))
    yield from (out / "report.md", out / "report.html")


def drawings(page: Path) -> set[str]:
    """The files that a page in Markdown shows."""
    with suppress(OSError):
        return set(re.findall(r"\]\((figures/[\w.-]+\.svg)\)", page.read_text(encoding="utf-8")))
    return set()


def walk(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_results(folder: Path) -> Results:
    """Read what `write` has written. Raises Refused when there is none, or its files do not belong together."""
    if (folder / COMPLETE).is_dir():  # its writer was killed while it moved files
        with locked(folder, "a comparison", "--out"):
            complete(folder)
    path = folder / "comparison.json"
    if not path.is_file():
        raise Refused(f"{folder} holds no comparison.json. {compare_again(folder)}")
    try:
        comparison = Comparison.from_json(path.read_text(encoding="utf-8"))
        rows = from_lines((folder / RUNS).read_text(encoding="utf-8"))
        refuse_strangers(folder, comparison, rows)
        names = [size.name for size in comparison.splits if size.name != "train"]
        split_predictions = {name: read_predictions(folder / f"predictions_{name}.csv", name) for name in names}
    except FileNotFoundError as error:
        raise Refused(f"{error.filename} is missing. {compare_again(folder)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{folder} holds what another version of compare wrote ({type(error).__name__}: {error}). "
            f"{compare_again(folder)} --overwrite"
        ) from None
    histories = {head: models.read_history(folder / "models" / f"{head}.safetensors") for head in comparison.settings}
    return Results(comparison, rows, split_predictions, {head: its for head, its in histories.items() if its})


def memes(results: Results, features: Place | None = None) -> Data:
    """Read the features that a comparison was made from, again; another dataset's, of its `test_on`, are left out.

    features: where they lie now, if they were moved. Raises Refused where there are none, or where a split holds other
    memes.
    """
    comparison = results.comparison
    names = {side: encoder.name for side, encoder in comparison.encoders.items()}
    data = stored.load(features or place(comparison.features), names["text"], names["image"])
    now = {split.name: stored.digest([split]) for split in data.splits}
    own = [size for size in comparison.splits if size.digest and size.name not in comparison.elsewhere]
    odd = [size.name for size in own if now.get(size.name) != size.digest]
    if odd:
        raise Refused(
            f"{data.features} does not hold the memes that were compared, in {', '.join(odd)}: name their features "
            "with --features, or run compare again"
        )
    return data


def read_predictions(path: Path, split: str) -> SplitPredictions:
    """Read a predictions_<split>.csv: of every head and seed the same memes in the same order."""
    import pandas as pd

    frame = pd.read_csv(path, dtype={"id": str, "head": str}, keep_default_na=False, na_values={"label": [""]})
    if list(frame.columns) != list(COLUMNS):
        raise ValueError(f"{path.name} has the columns {', '.join(frame.columns)}")
    heads: dict[str, HeadPredictions] = {}
    ids: list[str] = []
    label = np.empty(0, dtype=int)
    for name, rows in frame.groupby("head", sort=False):
        runs = list(rows.groupby("seed", sort=False))
        first = runs[0][1]
        ids, label = first["id"].tolist(), first["label"].fillna(NO_LABEL).to_numpy(dtype=int)
        by_run = np.stack([run["probability"].to_numpy() for _, run in runs])
        heads[str(name)] = HeadPredictions(str(name), [int(seed) for seed, _ in runs], by_run)
    return SplitPredictions(split, ids, label, heads)


def refuse_strangers(folder: Path, comparison: Comparison, rows: Sequence[Record]) -> None:
    """Raise Refused unless every file is that of this comparison. Models may be gone: a report does without."""
    if not comparison.files:
        raise ValueError("it does not name its files")
    odd = [f"{RUNS} is of another comparison"] if {row.run for row in rows} != {comparison.run} else []
    for name, expected in comparison.files.items():
        path = folder / name
        if (path.exists() or not name.startswith("models/")) and digest(path) != expected:
            odd.append(f"{name} is not the file that comparison.json names")
    if odd:
        raise Refused(f"{folder} holds files of two comparisons:\n{listing(odd)}\n{compare_again(folder)}")
