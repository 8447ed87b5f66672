"""Options that several commands take. Imports nothing heavy: --help answers at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extract.machine import DEVICES
from extract.places import place

DEFAULT_HEADS = "text,image,early,late"  # what is compared unless others are named
BALANCES = ("none", "pos_weight", "undersample")
ENSEMBLE = "ensemble"  # a row made of the heads compared
FEATURES = Path("features")
LOGGERS = ("tensorboard", "mlflow")
DRAWN_BY = ("jinja2", "matplotlib")  # pages and their drawings; extra: report


def parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser for `python -m experiments.<command>`. examples: lines of commands, one to a line."""
    return argparse.ArgumentParser(
        prog=f"python -m experiments.{command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def head_names(asked: str | Sequence[str], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return names in the table's order, each once: of "text,early", of a list of names, or "all".

    more: what else may be named. Raises Refused for a name that no head has, or where there is none.
    """
    from extract.errors import Refused
    from heads.models import HEADS  # late: it needs torch

    words = asked.split(",") if isinstance(asked, str) else asked
    names = [word.strip() for word in words if word.strip()]
    if names == ["all"]:
        return tuple(HEADS)
    unknown = [name for name in names if name not in HEADS]
    if unknown or not names:
        what = f"unknown head {', '.join(unknown)}" if unknown else "no head is named"
        raise Refused(f"--heads: {what}; there are {', '.join([*HEADS, *more])}, or all")
    return tuple(name for name in HEADS if name in names)


def compared(asked: str | Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the heads' names as `head_names` does, and whether their ensemble is asked for, by name or as "all"."""
    from extract.errors import Refused

    words = [word.strip() for word in (asked.split(",") if isinstance(asked, str) else asked)]
    heads = [word for word in words if word != ENSEMBLE]
    if ENSEMBLE in words and not heads:
        raise Refused(f"--heads {ENSEMBLE}: it is made of heads; name those, too: --heads {DEFAULT_HEADS},{ENSEMBLE}")
    return head_names(heads, [ENSEMBLE]), ENSEMBLE in words or words == ["all"]


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the heads' settings; what is not given stays as the sweep chose it, or as shipped."""
    group = parser.add_argument_group("settings of all heads", "default: what the sweep chose, else each head's own")
    add = group.add_argument
    add("--hidden", type=at_least_one, metavar="N", help="units of a hidden layer")
    add("--projection", type=at_least_one, metavar="N", help="width that vectors are projected to before they meet")
    add("--dropout", type=float, metavar="P", help="probability of dropping a unit")
    add("--learning-rate", type=float, metavar="X", help="of AdamW")
    add("--weight-decay", type=float, metavar="X", help="of AdamW, decoupled")
    add("--epochs", type=at_least_one, metavar="N", help="at most")
    add("--patience", type=at_least_one, metavar="N", help="epochs without a better dev AUC-ROC before a run stops")
    add("--averaging", type=float, metavar="X", help="decay per step of the running mean of weights that is scored")


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command with trained heads takes."""
    add = parser.add_argument
    add(
        "--model", type=Path, default=Path("reports"), metavar="DIR", help="what compare's --out was (default: reports)"
    )
    add("--head", metavar="HEAD", help="which head decides (default: the one that is best on dev)")
    add("--threshold", type=probability, metavar="P", help="label 1 from this probability on (default: tuned on dev)")
    add(
        "--features",
        type=place,
        metavar="DIR",
        help="take vectors from here where it has them (default: features, if there)",
    )
    add(
        "--cache", metavar="DIR", help="where vectors of scored memes are kept, or none (default: in your cache folder)"
    )
    add("--text-encoder", metavar="E", help="where the model's text encoder is, if it was a folder")
    add("--image-encoder", metavar="E", help="where the model's image encoder is, if it was a folder")
    add("--device", choices=DEVICES, default="auto", help="where to encode (default: auto)")
    add(
        "--examples",
        type=Path,
        metavar="FILE",
        help="labelled memes (JSONL or Parquet, images beside it) that join what a head remembers, untrained",
    )


class LoggerOption(argparse.Action):
    """--log LOGGER DIR, as a pair."""

    def __call__(self, parser: argparse.ArgumentParser, options: Any, values: Any, word: str | None = None) -> None:
        if values[0] not in LOGGERS:
            parser.error(f"--log {values[0]}: unknown; there are {' and '.join(LOGGERS)}")
        setattr(options, self.dest, tuple(values))


def add_slice_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slice-by",
        metavar="FIELD[,FIELD]",
        help="misses and false alarms by a column of the manifest, and the largest gap, tested",
    )


def model_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_model` has read as the arguments of Scorer.load."""
    names = ("model", "head", "threshold", "text_encoder", "image_encoder", "device", "examples")
    return {
        **{name: getattr(options, name) for name in names},
        "features": options.features or (FEATURES if FEATURES.is_dir() else None),
        "cache": {None: True, "none": False}.get(options.cache, options.cache),
    }


def probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability between 0 and 1")
    return value


def share(text: str) -> float:
    """A probability, neither 0 nor 1."""
    if (value := probability(text)) in (0.0, 1.0):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def costs(text: str) -> tuple[float, float]:
    try:
        miss, alarm = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not two numbers, MISS,ALARM, as 5,1") from None
    return miss, alarm
