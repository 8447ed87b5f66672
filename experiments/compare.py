"""python -m experiments.compare: text, image, early and late heads on stored vectors, as a table.

Reads features/. Writes comparison.md, .csv, .tex and .json, predictions_<split>.csv and models/<head>.safetensors with
its .json, all the same bytes for the same input; and runs.jsonl, a record per run and split, wall time included.

From Python: `from experiments.compare import compare`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.options import (
    BALANCES,
    DEFAULT_HEADS,
    LoggerOption,
    add_settings,
    add_slice_by,
    at_least_one,
    compared,
)
from experiments.options import parser as parser_of
from extract import errors
from extract.machine import DEVICES
from extract.places import Place, place

if TYPE_CHECKING:
    from experiments.data import Data
    from experiments.results.folder import Results

EXAMPLES = """\
examples:
  python -m experiments.compare
  python -m experiments.compare --text-encoder all-MiniLM-L6-v2 --image-encoder resnet50-keras --seeds 10
  python -m experiments.compare --text-encoder all-MiniLM-L6-v2+all-mpnet-base-v2
  python -m experiments.compare --heads text,early --references none --out reports/quick
  python -m experiments.compare --ablate
  python -m experiments.compare --features features/mine --test-on features/theirs --out reports/mine
"""


def compare(
    features: Place | str = "features",
    *,
    text_encoder: str | None = None,
    image_encoder: str | None = None,
    heads: str | Sequence[str] = DEFAULT_HEADS,
    seeds: int = 5,
    out: Path | str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    references: str = "all",
    calibrate: str = "none",
    balance: str | None = None,
    hidden: int | None = None,
    projection: int | None = None,
    dropout: float | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    patience: int | None = None,
    averaging: float | None = None,
    from_sweep: Path | str | None = None,
    slice_by: str | None = None,
    log: tuple[str, str] | None = None,
    ablate: bool = False,
    test_on: Place | str | None = None,
    quiet: bool = True,
) -> "Results":
    """Train heads on the vectors in `features` and return how they do on dev and test.

    out: a folder to write to; None writes nothing, and the result holds the same. log: a logger and its folder. quiet:
    print nothing. The others are as on the command line.
    Raises Refused for what cannot be compared, StoreError for features that are damaged, Failed where every head's
    training diverged.
    """
    from experiments import data as stored
    from experiments import ensemble, training
    from experiments.evaluate.ablation import ablations
    from experiments.evaluate.comparison import evaluate, size
    from experiments.evaluate.field_slices import field_slices, masks
    from experiments.results import answers, folder, loggers
    from experiments.results.comparison import results_of
    from experiments.search.ranking import Choice, read_choice
    from experiments.transfer import with_tests_on
    from experiments.words.comparison import diverged
    from experiments.words.sweep import choice_cautions
    from extract.errors import Failed
    from extract.machine import resolve_device

    (names, with_ensemble), device = compared(heads), resolve_device(device)
    asked = training.settings(
        balance=balance, hidden=hidden, projection=projection, dropout=dropout, learning_rate=learning_rate,
        weight_decay=weight_decay, max_epochs=epochs, patience=patience, averaging=averaging,
    )  # fmt: skip
    choice = read_choice(Path(from_sweep)) if from_sweep else Choice()
    data = stored.load(place(str(features)), text_encoder or choice.text_encoder, image_encoder or choice.image_encoder)
    data = with_tests_on(data, place(str(test_on))) if test_on else data
    names, left_out = stored.trainable(data, names)
    cautions = choice_cautions(choice, data.encoders, names, [size(data.train), size(data.dev)])
    data = replace(data, notes=data.notes + left_out + cautions)
    if log:
        loggers.refuse_missing(log[0])
    fields = [field for field in (slice_by or "").split(",") if field]
    for field in fields:
        masks(data, field)  # refuses what cannot be used, before any work
    if out is not None:
        folder.prepare(Path(out))
        if not overwrite:
            folder.refuse_other_dataset(Path(out), [size(split) for split in data.splits])
    if not quiet:
        print("\n".join([describe(data), *left_out]), file=sys.stderr)
    runs = training.runs(names, seeds, {head: choice.heads.get(head, {}) | asked for head in names})
    every = training.heads(data, runs, device, calibrate, quiet)
    trained = [each for each in every if not each.diverged]
    lost = [diverged(each.name, each.diverged) for each in every if each.diverged]
    if not trained:
        raise Failed("\n".join(lost))
    data = replace(data, notes=data.notes + lost)
    trained += [ensemble.greedy(data, trained)] if with_ensemble else []
    trained += training.references(data, quiet) if references == "all" else []
    ablated = ablations(data, trained, quiet) if ablate else []
    results = results_of(data, trained, evaluate(data, trained, seeds, calibrate, ablated))
    results = replace(results, by_field={field: field_slices(results, data, field) for field in fields})
    if out is not None:
        folder.write(Path(out), data, trained, results)
        answers.write_slices(Path(out), results)
    if log:
        loggers.log(results, log[0], Path(log[1]))
    return results


def describe(data: "Data") -> str:
    from experiments.words import with_dims

    return f"{with_dims(data.encoders.values())}: {', '.join(f'{len(split):,} {split.name}' for split in data.splits)}"


def parser() -> argparse.ArgumentParser:
    about = "Train heads on the vectors in FEATURES and write a table of how they do on dev and test."
    parser = parser_of("compare", about, EXAMPLES)
    add = parser.add_argument
    add("--features", type=place, default=Path("features"), metavar="DIR", help="from extract (default: features)")
    add("--text-encoder", metavar="E", help="which text vectors, when there are several; E+E: side by side; or all")
    add("--image-encoder", metavar="E", help="which image vectors, likewise")
    add("--heads", default=DEFAULT_HEADS, metavar="H,H", help=f"or all; docs/heads.md (default: {DEFAULT_HEADS})")
    add("--seeds", type=at_least_one, default=5, metavar="N", help="runs of each head (default: 5)")
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="where results go (default: reports)")
    add("--overwrite", action="store_true", help="replace a comparison in --out that is on other memes, or unreadable")
    add("--device", choices=DEVICES, default="auto", help="where heads train (default: auto)")
    add("--references", choices=("all", "none"), default="all", help="baselines beside the heads (default: all)")
    scaled = "scale probabilities on dev (default: none)"
    add("--calibrate", choices=("none", "temperature"), default="none", help=scaled)
    add(
        "--balance",
        choices=BALANCES,
        help="where one label is rarer: weigh label 1 by how much it is, or let each epoch see as many of either "
        "(default: what the sweep chose, else none)",
    )
    add("--from-sweep", type=Path, metavar="FILE", help="encoders and settings that a sweep chose")
    add("--test-on", type=place, metavar="DIR", help="another dataset's features, of the same encoders: score it, too")
    add("--ablate", action="store_true", help="measure what each head loses without the text, and without the image")
    add_settings(parser)
    add_slice_by(parser)
    logged = "figures and curves through tensorboard's or mlflow's own logger, to DIR"
    add("--log", nargs=2, action=LoggerOption, metavar=("LOGGER", "DIR"), help=logged)
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments.words.comparison_tables import terminal

    results = compare(**vars(options), quiet=False)
    print(terminal(results.comparison))
    print(
        f"Written to {options.out}: comparison.md, .csv, .tex, .json, runs.jsonl, predictions, models.", file=sys.stderr
    )


if __name__ == "__main__":
    errors.leave(errors.run(main))
