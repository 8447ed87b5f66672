"""python -m experiments.compare: text, image, early and late heads on stored vectors, as a table.

Reads features/. Writes comparison.md, .csv, .tex and .json, predictions_<split>.csv and models/<head>.safetensors with
its .json, all the same bytes for the same input; and runs.jsonl, a record per run and split, wall time included.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from extract import errors
from extract.machine import resolve_device
from extract.places import place

if TYPE_CHECKING:
    from experiments.data import Data

HEADS = ("text", "image", "early", "late")
BALANCES = ("none", "pos_weight", "undersample")
EXAMPLE = """\
examples:
  python -m experiments.compare
  python -m experiments.compare --text-encoder all-MiniLM-L6-v2 --image-encoder resnet50-keras --seeds 10
  python -m experiments.compare --heads text,early --references none --out reports/quick
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare",
        description="Train heads on the vectors in FEATURES and write a table of how they do on dev and test.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--features", type=place, default=Path("features"), metavar="DIR", help="from extract (default: features)")
    add("--text-encoder", metavar="E", help="which text vectors, when there are several")
    add("--image-encoder", metavar="E", help="which image vectors, when there are several")
    add("--heads", type=head_names, default=HEADS, metavar="H,H", help=f"default: {','.join(HEADS)}")
    add("--seeds", type=at_least_one, default=5, metavar="N", help="runs of each head (default: 5)")
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="where results go (default: reports)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where heads train (default: auto)")
    add("--references", choices=("all", "none"), default="all", help="baselines beside the heads (default: all)")
    add(
        "--calibrate",
        choices=("none", "temperature"),
        default="none",
        help="scale probabilities on dev (default: none)",
    )
    add(
        "--balance",
        choices=BALANCES,
        help="where one label is rarer: weigh label 1 by how much it is, or let each epoch see as many of either "
        "(default: what the sweep chose, else none)",
    )
    add("--from-sweep", type=Path, metavar="FILE", help="encoders and settings that a sweep chose")
    return parser


def head_names(text: str) -> tuple[str, ...]:
    """Names in the table's order, each once."""
    asked = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in asked if name not in HEADS]
    if unknown or not asked:
        raise argparse.ArgumentTypeError(f"unknown head {', '.join(unknown)}; there are {', '.join(HEADS)}")
    return tuple(name for name in HEADS if name in asked)


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seeds: at least 1")
    return int(text)


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments import comparison_tables, training
    from experiments import data as loading
    from experiments.evaluate import comparison as outcome
    from experiments.results import folder
    from experiments.search import choice as chosen

    device = resolve_device(options.device)
    choice = chosen.read(options.from_sweep) if options.from_sweep else chosen.NOTHING
    data = loading.load(
        options.features, options.text_encoder or choice.text_encoder, options.image_encoder or choice.image_encoder
    )
    data = replace(data, notes=data.notes + choice.cautions(data.text.name, data.image.name, options.heads))
    folder.prepare(options.out)
    print(describe(data), file=sys.stderr)
    balance = {"balance": options.balance} if options.balance else {}
    settings = {head: choice.heads.get(head, {}) | balance for head in options.heads}
    runs = training.runs(options.heads, options.seeds, settings)
    trained = training.heads(data, runs, device, options.calibrate)
    trained += training.references(data) if options.references == "all" else []
    comparison = outcome.compare(data, trained, options.seeds, options.calibrate)
    folder.write(options.out, data, trained, comparison)
    print(comparison_tables.terminal(comparison))
    print(
        f"Written to {options.out}: comparison.md, .csv, .tex, .json, runs.jsonl, predictions, models.", file=sys.stderr
    )


def describe(data: "Data") -> str:
    sides = f"{data.text.name} ({data.text.dim:,}) + {data.image.name} ({data.image.dim:,})"
    sizes = ", ".join(f"{len(split):,} {split.name}" for split in (data.train, data.dev, *data.tests))
    return f"{sides}: {sizes}"


if __name__ == "__main__":
    sys.exit(errors.run(main))
