"""python -m experiments.submit: a split's predictions as the competition wants them: id, proba, label.

From Python: `from experiments.submit import submit`.
"""

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.options import add_model, model_arguments
from experiments.options import parser as parser_of
from extract import errors
from extract.errors import Failed, Refused, listing, named
from extract.places import Place, place

if TYPE_CHECKING:
    import pandas as pd

    from extract.dataset import ManifestSplit

DATA = Path("data/hateful_memes")
DIGITS = 9  # of a probability
EXAMPLES = """\
examples:
  python -m experiments.submit --split test_unseen --out submission.csv
  python -m experiments.submit --model reports/my_memes --data data/my_memes --split test --head early
"""


def submit(
    data: Place | str = DATA, *, split: str = "test", out: Path | str | None = None, quiet: bool = True, **model: Any
) -> "pd.DataFrame":
    """Score every meme of a split; return id, proba and label in the order of its file.

    out: a CSV file to write; None writes nothing. model: as `predict` has it.
    Raises Refused for rows that cannot be scored, Failed for images that cannot be decoded.
    """
    from experiments.scoring import memes, rows
    from experiments.scoring.scorer import Scorer

    if out is not None:
        memes.refuse_unwritable(Path(out))
    scorer = Scorer.load(**model)
    asked = rows.of_split(place(str(data)), split, quiet, scorer.needs)
    refuse_incomplete(asked)
    scored = memes.score(asked, scorer, skip=False, quiet=quiet)
    table = scored.table.rename(columns={"probability": "proba"})
    submission = table[["id", "proba", "label"]]
    text = memes.csv_text(submission, DIGITS)
    check([meme.id for meme in asked.memes], text)
    if out is not None:
        memes.write(Path(out), text)
    if not quiet:
        said = f"{len(table):,} memes of {asked.name} by the head {scored.scorer.deciding.name}"
        print(f"{out}: {said}, {int(table['label'].sum()):,} of label 1", file=sys.stderr)
    return submission


def parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "submit", "Score every meme of a split and write id, proba, label in the order of its file.", EXAMPLES
    )
    add = parser.add_argument
    add("--data", type=place, default=DATA, metavar="DIR", help=f"the dataset (default: {DATA})")
    add("--split", default="test", metavar="NAME", help="the split to predict (default: test)")
    add("--out", type=Path, default=Path("submission.csv"), metavar="FILE", help="default: submission.csv")
    add_model(parser)
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    submit(options.data, split=options.split, out=options.out, quiet=False, **model_arguments(options))


def refuse_incomplete(split: "ManifestSplit") -> None:
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
        f"{len(names):,} ids {what}: {named(names)}"
        for what, names in (("missing", missing), ("twice", twice), ("not in the source", unknown))
        if names
    ]
    if not faults and list(wanted) != list(written):
        faults = ["ids are not in the order of the source"]
    if faults:
        raise Failed(f"the submission was not written:\n{listing(faults)}")


if __name__ == "__main__":
    errors.leave(errors.run(main))
