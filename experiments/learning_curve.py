"""python -m experiments.learning_curve: what more labels would bring, from heads trained on parts of train.

Reads features/. Writes learning_curve.md, .csv, .tex, .json, drawings, and what each training said of dev and test: a
run that was stopped goes on where it stood. Below a comparison's folder, where it goes by default, it is a section of
the report. Where a leaderboard lies beside it, it says what another encoder would bring, too.

From Python: `from experiments.learning_curve import learning_curve`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.options import DEFAULT_HEADS, DRAWN_BY, at_least_one, head_names
from experiments.options import parser as parser_of
from extract import errors
from extract.machine import DEVICES
from extract.places import Place, place

if TYPE_CHECKING:
    from experiments.data import Data
    from experiments.results.learning import LearningCurve
    from experiments.results.trainings import Trainings
    from experiments.training import Trained
    from heads.settings import HeadSettings

OUT = "reports/learning_curve"
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
    out: Path | str = OUT,
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
    from experiments.results import boards, folder, trainings
    from experiments.results import learning as record
    from experiments.results.records import code_version
    from experiments.search.ranking import Choice, read_choice
    from experiments.words.sweep import choice_cautions
    from extract.locks import locked
    from extract.machine import resolve_device

    names, device = head_names(heads), resolve_device(device)
    choice = read_choice(Path(from_sweep)) if from_sweep else Choice()
    data = stored.load(place(str(features)), text_encoder or choice.text_encoder, image_encoder or choice.image_encoder)
    names, left_out = stored.trainable(data, names)
    cautions = choice_cautions(choice, data.encoders, names, [size_of(data.train), size_of(data.dev)])
    asked, too_large = asked_sizes(sizes, len(data.train))
    judged, notes = data.judged, [*data.notes, *left_out, *too_large, *cautions]
    if judged[0] is data.dev:
        notes.append("No test split has both labels: power laws are of dev, which flatters, for it chose the epochs.")
    subsets = drawn(data, asked, draws)
    runs = training.runs(names, seeds, choice.heads)
    for note in notes if not quiet else ():
        print(note, file=sys.stderr)
    boards.read_leaderboard(Path(out).parent / boards.NAME)  # refuses a damaged one
    folder.prepare(Path(out), trainings.FOLDER)
    with locked(Path(out), "another learning curve", "--out"):
        every = train(data, subsets, runs, references == "all", trainings.Trainings(Path(out), device), quiet)
        sound = {cell: {name: each for name, each in its.items() if not each.diverged} for cell, its in every.items()}
        notes += [
            f"{name}: training diverged on {missing:,} of {len(sound):,} subsets, which are left out of its figures."
            for name in runs
            if (missing := sum(name not in each for each in sound.values()))
        ]
        kinds = {name: each.kind for its in sound.values() for name, each in its.items()}
        memes = {size: sum(map(len, its.values())) / len(its) for size, its in subsets.items()}
        points, laws = [], []
        for split in {each.name: each for each in (*judged, data.dev)}.values():
            labelled = split.labelled
            of_split = {
                (name, size): [
                    sound[size, draw][name].logit[split.name].numpy()[:, split.pairs.label >= 0]
                    for draw in its
                    if name in sound[size, draw]
                ]
                for name in kinds
                for size, its in subsets.items()
            }
            evaluated = learning.evaluate(of_split, memes, kinds, split.name, labelled.pairs.label == 1, labelled.group)
            points += evaluated[0]
            laws += evaluated[1] if any(split is each for each in judged) else []
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
            f"the rarer one is that of {rare:,} of {len(positive):,} memes in train. Take sizes from "
            f"{max(-(-len(positive) // int(rare)), lacking[-1] + 1):,} up."
        )
    return {
        size: {draw: rows[size] for draw, rows in enumerate(by_draw[:1] if size == len(positive) else by_draw)}
        for size in sizes
    }


def train(
    data: "Data", subsets: "dict[int, dict[int, Any]]", runs: "dict[str, list[HeadSettings]]", references: bool,
    trainings: "Trainings", quiet: bool,
) -> "dict[tuple[int, int], dict[str, Trained]]":  # fmt: skip
    """Return what every training came to, by size and draw, and by head or reference."""
    from tqdm import tqdm

    cells = [(size, draw, rows) for size, its in subsets.items() for draw, rows in its.items()]
    trained = {}
    for size, draw, rows in (bar := tqdm(cells, unit="training", disable=quiet or None, file=sys.stderr)):
        bar.set_description(f"{size:,} memes, draw {draw}")
        trained[size, draw] = trainings.of(replace(data, train=data.train.only(rows)), runs, references)
    return trained


def write(out: Path, curve: "LearningCurve") -> None:
    """Write the record, its tables, and drawings where matplotlib is installed; with what another encoder brings, by a
    leaderboard beside `out`."""
    from experiments.results import answers
    from experiments.results import learning as record
    from experiments.results.frames import csv
    from experiments.results.records import write_record
    from experiments.tables import latex_page
    from experiments.words.learning import learning_markdown
    from extract.files import write_text

    said, shown, others = answers.more_labels(curve, out.parent)
    md = learning_markdown(curve, said, shown)
    write_record(out, record.NAME, curve, csv=csv(curve.table), md=md, tex=latex_page(shown))
    if not errors.not_installed(DRAWN_BY, "report"):
        from experiments.pages import learning

        for panel in learning.panels(curve, others):
            write_text(out / f"{panel.name}.svg", panel.standalone)


def parser() -> argparse.ArgumentParser:
    about = "Train heads on parts of train, and say what twice the labels may bring."
    parser = parser_of("learning_curve", about, EXAMPLES)
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
    add("--out", type=Path, default=Path(OUT), metavar="DIR", help=f"default: {OUT}")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments.results import answers
    from experiments.tables import plain

    curve = learning_curve(**vars(options), quiet=False)
    said, shown, _ = answers.more_labels(curve, options.out.parent)
    print("\n\n".join([*map(plain, shown), *said]))
    print(f"Written to {options.out}: learning_curve.md, .csv, .tex, .json, drawings.", file=sys.stderr)


if __name__ == "__main__":
    errors.leave(errors.run(main, goes_on=True))
