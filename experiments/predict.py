"""python -m experiments.predict: what the trained heads say of a new meme, or of many."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.scoring import options as model_options
from extract import errors
from extract.errors import Failed, Refused
from extract.places import place

if TYPE_CHECKING:
    from experiments.scoring.scorer import Score, Scorer

EXAMPLE = """\
examples:
  python -m experiments.predict --image meme.png --text "look how many people love you"
  python -m experiments.predict --model reports/my_memes --data data/my_memes --split test --out predictions.csv
  python -m experiments.predict --model reports/my_memes - < this_morning.jsonl
"""
DATA = Path("data/hateful_memes")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.predict",
        description="Probability and label of memes, and what each modality alone says. Encodes a meme only once.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("lines", nargs="?", metavar="JSONL", help="score these rows (id, img, text); - reads them from stdin")
    add("--image", type=Path, metavar="FILE", help="score one meme: its image")
    add("--text", metavar="TEXT", help='its text; "" when there is none')
    add("--split", metavar="NAME", help="score a split of the dataset in --data")
    add("--data", type=place, metavar="DIR", help=f"the dataset (default: {DATA}); where a JSONL's img starts from")
    add("--out", type=Path, metavar="FILE", help="write a CSV file (default: print)")
    add(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="rows and images that cannot be used (default: stop)",
    )
    model_options.add(parser)
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    refuse_unclear(options)

    from experiments.scoring import csv_files

    if options.out:
        csv_files.prepare(options.out)
    scorer = model_options.scorer(options)
    if options.lines is None and options.split is None:
        ids, scores = [str(options.image or "text")], [one(options, scorer)]
    else:
        ids, scores = many(options, scorer)
    if options.out:
        csv_files.write(options.out, csv_files.predictions(ids, scores))
        print(f"{len(scores):,} memes written to {options.out}", file=sys.stderr)
    elif options.lines is None and options.split is None:
        print(described(scores[0], scorer))
    else:
        sys.stdout.write(csv_files.predictions(ids, scores))


def refuse_unclear(options: argparse.Namespace) -> None:
    """Raise Refused unless the options name memes in exactly one way."""
    one_meme = options.image is not None or options.text is not None
    ways = [one_meme, options.split is not None, options.lines is not None]
    if sum(ways) != 1:
        what = "what to score is not clear" if any(ways) else "nothing to score"
        raise Refused(f"{what}: give --image and --text, or --split, or a JSONL file (- for stdin). See --help")


def one(options: argparse.Namespace, scorer: "Scorer") -> "Score":
    from extract.images import Undecodable

    try:
        return scorer.score(image=options.image, text=options.text)
    except Undecodable as error:
        raise Failed(f"{options.image} cannot be scored: {error}") from None


def many(options: argparse.Namespace, scorer: "Scorer") -> "tuple[list[str], list[Score]]":
    from experiments.scoring import memes

    if options.split is not None:
        split = memes.of_split(options.data or DATA, options.split)
    else:
        split = memes.of_lines(options.lines, options.data)
    scored = memes.score(split, scorer, skip=options.on_error == "skip")
    return [meme.id for meme in scored.memes], scored.scores


def described(score: "Score", scorer: "Scorer") -> str:
    """One meme's probability and label, what every head says, and a sentence on the modalities."""
    from experiments.scoring.verdict import looks_at, modalities, origin
    from experiments.tables import Table, bare, plain

    rows = [
        [
            head,
            looks_at(scorer.heads[head]),
            bare(its.probability),
            f"{bare(its.lowest)} to {bare(its.highest)}",
            bare(its.threshold),
            str(its.label),
        ]
        for head, its in score.opinions.items()
    ]
    header = ["head", "looks at", "probability", "of its runs", "label 1 from", "label"]
    because = origin(score.opinions[score.head], scorer)
    parts = [f"probability {bare(score.probability)}, label {score.label} ({because})", plain(Table("", header, rows))]
    return "\n\n".join(part for part in (*parts, modalities(score, scorer.heads)) if part)


if __name__ == "__main__":
    sys.exit(errors.run(main))
