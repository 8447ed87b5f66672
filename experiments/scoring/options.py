"""The options that every command with a trained model takes. Imports nothing heavy: --help must answer at once."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.compare import HEADS

if TYPE_CHECKING:
    from experiments.scoring.scorer import Scorer

FEATURES = Path("features")


def add(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model", type=Path, default=Path("reports"), metavar="DIR", help="what compare's --out was (default: reports)"
    )
    add("--head", choices=HEADS, help="which head decides (default: the one that is best on dev)")
    add("--threshold", type=probability, metavar="P", help="label 1 from this probability on (default: tuned on dev)")
    add(
        "--features",
        type=Path,
        metavar="DIR",
        help="take vectors from here where it has them (default: features, if there)",
    )
    add(
        "--cache", metavar="DIR", help="where vectors of scored memes are kept, or none (default: in your cache folder)"
    )
    add("--text-encoder", metavar="E", help="where the model's text encoder is, if it was a folder")
    add("--image-encoder", metavar="E", help="where the model's image encoder is, if it was a folder")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to encode (default: auto)")


def probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability between 0 and 1")
    return value


def scorer(options: argparse.Namespace) -> "Scorer":
    """The scorer that the options ask for. Raises Refused when there is none."""
    from experiments.scoring.scorer import Scorer

    return Scorer.load(
        options.model,
        head=options.head,
        threshold=options.threshold,
        features=options.features or (FEATURES if FEATURES.is_dir() else None),
        cache={None: True, "none": False}.get(options.cache, options.cache),
        text_encoder=options.text_encoder,
        image_encoder=options.image_encoder,
        device=options.device,
    )
