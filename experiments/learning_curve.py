"""python -m experiments.learning_curve: what more labels would bring, from heads trained on parts of train.

Reads features/. Writes learning_curve.md, .csv, .tex, .json, a drawing for each judged split, and trained/, what each
training said of dev and test: a run that was stopped goes on where it stood. Below a comparison's folder, where it goes
by default, it is a section of the report.

From Python: `from experiments.learning_curve import learning_curve`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.options import DEFAULT_HEADS, at_least_one, head_names
from experiments.options import parser as parser_of
from extract import errors
from extract.machine import DEVICES
from extract.places import Place, place

if TYPE_CHECKING:
    from experiments.data import Data
    from experiments.results.learning import LearningCurve, Logits
    from heads.settings import HeadSettings

SIZES = "100,300,1000,all"
EXAMPLES = """\
examples:
  python -m experiments.learning_curve
  python -m experiments.learning_curve --sizes 250,500,1000,2000,4000,all --draws 10 --heads text,early
"""


def learning_curve(
    features: Place | str = "features",
    *,
    sizes: str | Sequence[int | str] = SIZES,
    draws: int = 5,
    seeds: int = 3,
    text_encoder: str | None = None,
    image_encoder: str | None = None,
    heads: str | Sequence[str] = DEFAULT_HEADS,
    references: str = "all",
    from_sweep: Path | str | None = None,
    device: str = "auto",
    out: Path | str = "reports/learning_curve",
    quiet: bool = True,
) -> "LearningCurve":
    """Train heads on nested subsets of train, and return how AUC-ROC grows with their size and what doubling may bring.

    sizes: numbers of memes, or "all". draws: subsets of each size but all. out: what it holds already is not trained
    again. Dev decides when training stops, as in a comparison. quiet: print nothing.
    Raises Refused for sizes that cannot be meant or make no curve, or a subset that lacks a label.
    """
    from experiments import data as stored
    from experiments import training
    from experiments.evaluate import learning
    from experiments.evaluate.comparison import size as size_of
    from experiments.results import learning as record
    from experiments.results.records import code_version
    from experiments.search.ranking import Choice, read_choice
    from extract.locks import locked
    from extract.machine import resolve_device

    names, device = head_names(heads), resolve_device(device)
    choice = read_choice(Path(from_sweep)) if from_sweep else Choice()
    data = stored.load(place(str(features)), text_encoder or choice.text_encoder, image_encoder or choice.image_encoder)
    names, left_out = stored.trainable(data, names)
    asked, too_large = asked_sizes(sizes, len(data.train))
    judged = [split for split in data.tests if split.has_both_labels]
    notes = [*data.notes, *left_out, *too_large]
    if not judged:
        judged = [data.dev]
        notes.append("No test split has both labels: power laws are of dev, which flatters, for it chose the epochs.")
    subsets = drawn(data, asked, draws)
    runs = training.runs(names, seeds, choice.heads)
    for note in notes if not quiet else ():
        print(note, file=sys.stderr)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.Refused(f"--out {out}: cannot write there: {error.strerror}") from None
    with locked(Path(out), "another learning curve", "--out"):
        logits = train(data, subsets, runs, references == "all", device, Path(out), quiet)
        every = dict.fromkeys(name.split("/", 1)[1] for each in logits.values() for name in each)
        kinds = {name: "head" if name in runs else "reference" for name in every}
        notes += [
            f"{name}: training diverged on {missing:,} of {len(logits):,} subsets, which are left out of its figures."
            for name in runs
            if (missing := sum(f"{data.dev.name}/{name}" not in each for each in logits.values()))
        ]
        memes = {size: sum(map(len, its.values())) / len(its) for size, its in subsets.items()}
        points, laws = [], []
        for split in [*judged, *([data.dev] if data.dev is not judged[0] else [])]:
            labelled = split.labelled
            there = split.pairs.label >= 0
            of_split = {
                (name, size): [
                    logits[size, draw][f"{split.name}/{name}"][:, there]
                    for draw in its
                    if f"{split.name}/{name}" in logits[size, draw]
                ]
                for name in kinds
                for size, its in subsets.items()
            }
            found = learning.evaluate(of_split, memes, kinds, split.name, labelled.pairs.label == 1, labelled.group)
            points += found[0]
            laws += found[1] if any(split is each for each in judged) else []
        curve = record.LearningCurve(
            encoders=data.encoders,
            splits=[size_of(split) for split in data.splits],
            sizes=asked,
            draws=draws,
            seeds=seeds,
            settings={head: {k: v for k, v in asdict(its[0]).items() if k != "seed"} for head, its in runs.items()},
            points=points,
            judged=[split.name for split in judged],
            laws=laws,
            notes=notes,
            code=code_version(),
            features=str(data.features),
        )
        write(Path(out), curve)
    return curve


def asked_sizes(sizes: str | Sequence[int | str], train: int) -> tuple[list[int], list[str]]:
    """Return sizes in rising order, each once, and in words those beyond train. Raises Refused for fewer than two."""
    words = [str(word).strip() for word in (sizes.split(",") if isinstance(sizes, str) else sizes)]
    odd = [word for word in words if word != "all" and not (word.isdecimal() and int(word) > 1)]
    if odd or not words:
        raise errors.Refused(
            f"--sizes {','.join(words)}: {', '.join(odd)} is neither a number of memes above 1 nor all"
        )
    numbers = sorted({train if word == "all" else int(word) for word in words})
    there = [number for number in numbers if number <= train]
    beyond = ", ".join(f"{number:,}" for number in numbers if number > train)
    if len(there) < 2:
        raise errors.Refused(
            f"--sizes {','.join(words)}: a curve takes two sizes or more, and train holds {train:,} memes. "
            f"For example: --sizes {max(2, train // 4)},{max(3, train // 2)},all"
        )
    return there, [f"train holds {train:,} memes: of the sizes, {beyond} left out."] if beyond else []


def drawn(data: "Data", sizes: Sequence[int], draws: int) -> "dict[int, dict[int, Any]]":
    """Return rows of train by size and draw; of all of train there is one. Raises Refused where a label is lacking."""
    from experiments.evaluate.learning import nested

    positive, group = data.train.pairs.label == 1, data.train.group
    by_draw = [nested(group, positive, sizes, draw) for draw in range(draws)]
    lacking = [size for size in sizes for rows in by_draw if len({*positive[rows[size]].tolist()}) < 2]
    if lacking:
        rare = min(positive.sum(), (~positive).sum())
        raise errors.Refused(
            f"--sizes {lacking[0]}: {lacking.count(lacking[0]):,} of {draws:,} subsets of so many memes lack a label: "
            f"of {len(positive):,} memes in train {rare:,} have the rarer one. Take sizes from "
            f"{max(-(-len(positive) // int(rare)), lacking[-1] + 1):,} up."
        )
    return {
        size: {draw: rows[size] for draw, rows in enumerate(by_draw[:1] if size == len(positive) else by_draw)}
        for size in sizes
    }


def train(
    data: "Data", subsets: "dict[int, dict[int, Any]]", runs: "dict[str, list[HeadSettings]]", references: bool,
    device: str, out: Path, quiet: bool,
) -> "dict[tuple[int, int], Logits]":  # fmt: skip
    """Return what every training says of dev and the test splits, by size and draw; those in `out` are not repeated."""
    from tqdm import tqdm

    from experiments import training
    from experiments.data import digest
    from experiments.results import trainings
    from experiments.results.records import code_version, versions

    about = {
        "scored": digest([data.dev, *data.tests]),
        "features": {side: each.fingerprint for side, each in data.encoders.items()},
        "runs": {head: [asdict(run) for run in its] for head, its in runs.items()},
        "references": references,
        "by": [device, code_version(), versions()],
    }
    cells = [(size, draw, rows) for size, its in subsets.items() for draw, rows in its.items()]
    logits = {}
    for size, draw, rows in (bar := tqdm(cells, unit="training", disable=quiet or None, file=sys.stderr)):
        bar.set_description(f"{size:,} memes, draw {draw}")
        part = replace(data, train=data.train.only(rows))
        name = trainings.key(about | {"train": digest([part.train])})
        held, _ = trainings.kept(out, name) or (None, {})
        if held is None:
            every = training.heads(part, runs, device, "none", quiet=True)
            trained = [each for each in every if not each.diverged]
            trained += training.references(part, quiet=True) if references else []
            held = {f"{split}/{each.name}": its.numpy() for each in trained for split, its in each.logit.items()}
            trainings.keep(out, name, held, {})
        logits[size, draw] = held
    return logits


def write(out: Path, curve: "LearningCurve") -> None:
    """Write the record, its tables, and drawings where matplotlib is installed."""
    from importlib.util import find_spec

    from experiments.results import learning as record
    from experiments.results.frames import csv
    from experiments.results.records import write_record
    from experiments.tables import latex_page
    from experiments.words.learning import learning_markdown, learning_tables
    from extract.files import write_text

    tex = latex_page(learning_tables(curve))
    write_record(out, record.NAME, curve, csv=csv(curve.table), md=learning_markdown(curve), tex=tex)
    if find_spec("matplotlib") and find_spec("jinja2"):
        from experiments.pages import learning

        for panel in learning.panels(curve):
            write_text(out / f"{panel.name}.svg", panel.standalone)


def parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "learning_curve", "Train heads on parts of train, and say what twice the labels may bring.", EXAMPLES
    )
    add = parser.add_argument
    add("--features", type=place, default=Path("features"), metavar="DIR", help="from extract (default: features)")
    add("--sizes", default=SIZES, metavar="N,N", help=f"memes of train, or all (default: {SIZES})")
    add("--draws", type=at_least_one, default=5, metavar="N", help="subsets of each size but all (default: 5)")
    add("--seeds", type=at_least_one, default=3, metavar="N", help="runs of each head on each (default: 3)")
    add("--text-encoder", metavar="E", help="which text vectors, when there are several")
    add("--image-encoder", metavar="E", help="which image vectors, when there are several")
    add("--heads", default=DEFAULT_HEADS, metavar="H,H", help=f"or all (default: {DEFAULT_HEADS})")
    add("--references", choices=("all", "none"), default="all", help="baselines beside the heads (default: all)")
    add("--from-sweep", type=Path, metavar="FILE", help="encoders and settings that a sweep chose")
    add("--device", choices=DEVICES, default="auto", help="where heads train (default: auto)")
    add(
        "--out",
        type=Path,
        default=Path("reports/learning_curve"),
        metavar="DIR",
        help="default: reports/learning_curve",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments.tables import plain
    from experiments.words import learning as words

    curve = learning_curve(**vars(options), quiet=False)
    print("\n\n".join([*map(plain, words.learning_tables(curve)), *words.learning(curve)]))
    print(f"Written to {options.out}: learning_curve.md, .csv, .tex, .json, drawings.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(errors.run(main))
