"""Options that several commands take. Imports nothing heavy: --help answers at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extract.machine import DEVICES
from extract.places import place

DEFAULT_HEADS = "text,image,early,late"  # what is compared unless others are named
BALANCES = ("none", "pos_weight", "undersample")
FEATURES = Path("features")


def parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser for `python -m experiments.<command>`. examples: lines of commands, one to a line."""
    return argparse.ArgumentParser(
        prog=f"python -m experiments.{command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def head_names(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Return names in the table's order, each once: of "text,early", of a list of names, or "all".

    Raises Refused for a name that no head has.
    """
    from extract.errors import Refused
    from heads.models import HEADS  # late: it needs torch

    words = asked.split(",") if isinstance(asked, str) else asked
    names = [word.strip() for word in words if word.strip()]
    if names == ["all"]:
        return tuple(HEADS)
    unknown = [name for name in names if name not in HEADS]
    if unknown or not names:
        raise Refused(f"--heads: unknown head {', '.join(unknown)}; there are {', '.join(HEADS)}")
    return tuple(name for name in HEADS if name in names)


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


def model_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_model` has read as the arguments of Scorer.load."""
    names = ("model", "head", "threshold", "text_encoder", "image_encoder", "device")
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
