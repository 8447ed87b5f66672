"""python -m experiments.predict: what the trained heads say of a new meme, or of many.

from experiments.predict import predict

result = predict(image="meme.png", text="look how many people love you")
print(result.scores[0].probability)
print(predict(split="test", data="data/my_memes").table)
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.options import add_model, model_arguments
from experiments.options import parser as parser_of
from extract import errors
from extract.errors import Failed, Refused, listing
from extract.places import Place, place

if TYPE_CHECKING:
    from experiments.scoring.memes import Predictions

EXAMPLES = """\
examples:
  python -m experiments.predict --image meme.png --text "look how many people love you"
  python -m experiments.predict --model reports/my_memes --data data/my_memes --split test --out predictions.csv
  python -m experiments.predict --head retrieval --examples labelled.jsonl --split test --out predictions.csv
  python -m experiments.predict --split test --at recall=.8 --out predictions.csv
  python -m experiments.predict --model reports/my_memes - < this_morning.jsonl
"""
DATA = Path("data/hateful_memes")
DIGITS = 6  # of a probability in CSV


def predict(
    lines: str | None = None,
    *,
    image: Path | str | None = None,
    text: str | None = None,
    split: str | None = None,
    data: Place | str | None = None,
    on_error: str = "stop",
    quiet: bool = True,
    **model: Any,
) -> "Predictions":
    """Score memes that are named in exactly one way: one meme, a split of a dataset, or JSON lines.

    lines: a file of rows (id, img, text); "-" is stdin.
    image, text: one meme; "" is a meme without words. Without a text, its words are read from the image where
    memefuse[ocr] is installed; else, without one of them, the heads that do not look at it answer.
    split, data: a split of the dataset in `data`, or with `lines` where their `img` starts from.
    on_error: "stop", or "skip": leave out what cannot be used, and list it in the result.
    model: what Scorer.load takes: model, head, threshold, at, features, cache, text_encoder, image_encoder, device,
    examples.
    Raises Refused for what cannot be meant, Failed for images that cannot be decoded.
    """
    one_meme = image is not None or text is not None
    _refuse_unclear(one_meme, split, lines)
    from experiments.scoring import memes, rows
    from experiments.scoring.scorer import Scorer
    from extract.images import Undecodable

    scorer = Scorer.load(**model, on_error=on_error, quiet=quiet)
    if one_meme:
        try:
            return memes.Predictions([str(image or "text")], [scorer.score(image, text)], scorer, [])
        except Undecodable as error:
            raise Failed(f"{image} cannot be scored: {error}") from None
    folder = place(str(data)) if data is not None else None
    if lines is not None:
        asked = rows.of_lines(lines, folder, scorer.needs)
    else:
        asked = rows.of_split(folder or DATA, str(split), quiet, scorer.needs)
    return memes.score(asked, scorer, skip=on_error == "skip", quiet=quiet)


def parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "predict",
        "Probability and label of memes, and what each modality alone says. Encodes a meme only once.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("lines", nargs="?", metavar="JSONL", help="score these rows (id, img, text); - reads them from stdin")
    add("--image", type=Path, metavar="FILE", help="score one meme: its image")
    add("--text", metavar="TEXT", help='its text; "" when there is none (default: read from the image)')
    add("--split", metavar="NAME", help="score a split of the dataset in --data")
    add("--data", type=place, metavar="DIR", help=f"the dataset (default: {DATA}); where a JSONL's img starts from")
    add("--out", type=Path, metavar="FILE", help="write a CSV file (default: print)")
    add(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="rows and images that cannot be used (default: stop)",
    )
    add(
        "--at",
        metavar="POINT",
        help="recall=R, precision=P, review=SHARE, error=E or cost, chosen on dev: adds a decision to each meme",
    )
    add_model(parser)
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    one_meme = options.image is not None or options.text is not None
    _refuse_unclear(one_meme, options.split, options.lines)
    from experiments import tables
    from experiments.scoring import memes
    from experiments.words import memes as words

    if options.out:
        memes.refuse_unwritable(options.out)
    what = {name: getattr(options, name) for name in ("lines", "image", "text", "split", "data", "on_error", "at")}
    result = predict(**what, quiet=False, **model_arguments(options))
    added = result.scorer.added
    for kind, lines in (("examples", added.left_out if added else []), ("memes", result.left_out)):
        if lines:
            print(f"{len(lines):,} {kind} left out:\n{listing(lines, len(lines))}", file=sys.stderr)
    if added and not one_meme:
        print(words.examples(added), file=sys.stderr)
    if options.out:
        memes.write(options.out, memes.csv_text(result.table, DIGITS))
        print(f"{len(result.scores):,} memes written to {options.out}", file=sys.stderr)
    elif one_meme:
        score, scorer = result.scores[0], result.scorer
        shown = (words.meme(score, scorer), tables.plain(words.meme_table(score, scorer)), words.modalities(score))
        said = words.examples(added) if added else ""
        print("\n\n".join(filter(None, (words.words_read(score), *shown, said))))
    else:
        sys.stdout.write(memes.csv_text(result.table, DIGITS))


def _refuse_unclear(one_meme: bool, split: str | None, lines: str | None) -> None:
    """Raise Refused unless memes are named in exactly one way."""
    named = [one_meme, split is not None, lines is not None]
    if sum(named) != 1:
        what = "what to score is not clear" if any(named) else "nothing to score"
        raise Refused(f"{what}: give --image and --text, or --split, or a JSONL file (- for stdin). See --help")


if __name__ == "__main__":
    errors.leave(errors.run(main))
