"""python -m experiments.explore: a dataset at a glance, before any encoding, as one HTML page and as Markdown."""

import argparse
import sys
from pathlib import Path

from experiments.options import DRAWN_BY
from experiments.options import parser as parser_of
from extract import errors
from extract.places import Place, place

EXAMPLE = """\
examples:
  python -m experiments.explore --data data/hateful_memes
  python -m experiments.explore --data data/my_memes --out reports/my_memes --no-images
"""


def parser() -> argparse.ArgumentParser:
    about = "Write dataset.html and dataset.md about the memes in a folder. Nothing is encoded."
    parser = parser_of("explore", about, EXAMPLE)
    add = parser.add_argument
    add("--data", type=place, required=True, metavar="DIR", help="dataset folder: <split>.jsonl and img/")
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="where the page goes (default: reports)")
    add("--no-images", action="store_true", help="show no image of any meme")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    path = explore(options.data, options.out, images=not options.no_images, quiet=False)
    print(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB) and dataset.md.", file=sys.stderr)


def explore(data: Place, out: Path, images: bool = True, quiet: bool = True) -> Path:
    """Write dataset.html, dataset.md and figures/ about the memes in a folder, and return the path of dataset.html.

    images: show images of memes. Raises Refused where there is no dataset, or where a library is missing that draws
    pages.
    """
    from experiments import dataset_summary

    errors.need(DRAWN_BY, "pages need", "report")
    from experiments.pages import dataset, document

    return document.publish(dataset.page(dataset_summary.summarise(data, quiet), images), out, "dataset")


if __name__ == "__main__":
    errors.leave(errors.run(main))
