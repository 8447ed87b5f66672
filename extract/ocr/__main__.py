"""`python -m extract.ocr`: read the words on memes whose text nobody has typed."""

import argparse
from pathlib import Path

from extract import errors
from extract.ocr.reader import LANGUAGE, MODEL, MODELS, ReaderChoice
from extract.places import place

EXAMPLE = """\
examples:
  python -m extract.ocr --data data/my_memes
  python -m extract.ocr --data data/my_memes --all --out data/my_memes_read
  python -m extract.ocr --images pictures
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m extract.ocr",
        description="Read the words on pictures into their manifest's text, and write what was read, with boxes and "
        "confidences, to <split>.ocr.jsonl. Old manifests are kept beside the new ones.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what, which = parser.add_mutually_exclusive_group(required=True), parser.add_mutually_exclusive_group()
    what.add_argument("--data", type=place, metavar="DIR", help="dataset: a folder or s3://...")
    what.add_argument("--images", type=Path, metavar="DIR", help="pictures without a manifest: writes DIR/test.jsonl")
    which.add_argument("--missing", action="store_true", help="read memes that have no text (the default)")
    which.add_argument("--all", action="store_true", dest="every", help="read all memes, and replace their texts")
    add("--split", default="all", metavar="all|NAME[,NAME]", help="splits to read (default: all there are)")
    add("--out", type=place, metavar="DIR", help="write manifests there, with a link to the images (default: in place)")
    unusable = "rows and images that cannot be used (default: stop)"
    add("--on-error", choices=("stop", "skip"), default="stop", help=unusable)
    add(
        "--language",
        default=LANGUAGE,
        metavar="L",
        help=f"script to read (default: {LANGUAGE}, and all in Latin script)",
    )
    add(
        "--model",
        choices=MODELS,
        default=MODEL,
        help=f"size of the model (default: {MODEL}, which is installed with it)",
    )
    add("--models", type=Path, metavar="DIR", help="where models lie that are not installed (default: in the cache)")
    add("--quiet", action="store_true", help="no progress bars, for logs")
    return parser


def main(argv: list[str] | None = None) -> int:
    options = vars(parser().parse_args(argv))
    choice = ReaderChoice(options.pop("language"), options.pop("model"), options.pop("models"))
    options.pop("missing")

    from extract.ocr.read import read_words  # late: it needs h5py
    from extract.ocr.words import Words

    read_words(**options, words=Words(choice), verbose=True)
    return 0


if __name__ == "__main__":
    errors.leave(errors.run(main, goes_on=True))
