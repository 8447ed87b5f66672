"""python -m experiments.submit: a split's predictions as the competition wants them: id, proba, label."""

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.scoring import options as model_options
from extract import errors
from extract.errors import Failed, Refused, listing
from extract.places import place

if TYPE_CHECKING:
    from extract.dataset import Split

DATA = Path("data/hateful_memes")
EXAMPLE = """\
examples:
  python -m experiments.submit --split test_unseen --out submission.csv
  python -m experiments.submit --model reports/my_memes --data data/my_memes --split test --head early
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.submit",
        description="Score every meme of a split and write id, proba, label in the order of its file.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=place, default=DATA, metavar="DIR", help=f"the dataset (default: {DATA})")
    add("--split", default="test", metavar="NAME", help="the split to predict (default: test)")
    add("--out", type=Path, default=Path("submission.csv"), metavar="FILE", help="default: submission.csv")
    model_options.add(parser)
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments.scoring import csv_files, memes

    csv_files.prepare(options.out)
    split = memes.of_split(options.data, options.split)
    refuse_incomplete(split)
    scorer = model_options.scorer(options)
    scored = memes.score(split, scorer, skip=False)
    rows = [
        (meme.id, f"{score.probability:.9f}", str(score.label))
        for meme, score in zip(scored.memes, scored.scores, strict=True)
    ]
    submission = csv_files.comma_separated(["id", "proba", "label"], rows)
    check([meme.id for meme in split.memes], submission)
    csv_files.write(options.out, submission)
    ones = sum(label == "1" for _, _, label in rows)
    print(
        f"{options.out}: {len(rows):,} memes of {split.name} by the head {scorer.chosen.name}, {ones:,} of label 1",
        file=sys.stderr,
    )


def refuse_incomplete(split: "Split") -> None:
    """Raise Refused, naming every row that cannot be used: a submission without one would be turned down."""
    if split.faults:
        raise Refused(
            f"{len(split.faults):,} of {len(split.faults) + len(split.memes):,} rows cannot be scored, and a "
            f"submission needs each:\n{listing([str(fault) for fault in split.faults])}\nMend them and run again."
        )


def check(wanted: Sequence[str], submission: str) -> None:
    """Raise Failed unless every id of the source is in the CSV once, in the source's order."""
    written = [row["id"] for row in csv.DictReader(io.StringIO(submission, newline=""))]
    twice = [name for name, count in Counter(written).items() if count > 1]
    missing = sorted(set(wanted) - set(written))
    unknown = sorted(set(written) - set(wanted))
    faults = [
        f"{len(names):,} ids {what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("twice", twice), ("not in the source", unknown))
        if names
    ]
    if not faults and list(wanted) != list(written):
        faults = ["ids are not in the order of the source"]
    if faults:
        raise Failed(f"the submission was not written:\n{listing(faults)}")


if __name__ == "__main__":
    sys.exit(errors.run(main))
