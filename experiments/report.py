"""python -m experiments.report: what compare found, as one HTML page and as Markdown.

Reads what compare wrote under --reports (and the memes themselves, with --data); writes report.html, which opens from
disk and needs nothing else, and report.md with its drawings in figures/.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from extract import errors
from extract.places import place

if TYPE_CHECKING:
    from experiments.glance import Glance
    from experiments.results.reading import Findings

EXAMPLE = """\
examples:
  python -m experiments.report
  python -m experiments.report --reports reports/sample --data data/sample
  python -m experiments.report --data data/hateful_memes --no-images
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.report",
        description="Write report.html and report.md about what `python -m experiments.compare` found.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--reports", type=Path, default=Path("reports"), metavar="DIR", help="what compare wrote (default: reports)")
    add(
        "--data",
        type=place,
        metavar="DIR",
        help="the memes themselves, to show them and their dataset (default: left out)",
    )
    add("--out", type=Path, metavar="DIR", help="where the report goes (default: the --reports folder)")
    add("--no-images", action="store_true", help="show no image of any meme")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments import glance
    from experiments.results import reading

    errors.need(("jinja2", "matplotlib"), "pages need", "report")
    from experiments.pages import publishing, report_page

    found = reading.read(options.reports)
    seen = glance.look(options.data) if options.data else None
    if seen:
        refuse_other_data(found, seen)
    page = report_page.page(found, seen, images=not options.no_images, reports=options.reports)
    path = publishing.publish(page, options.out or options.reports, "report")
    print(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB) and report.md.", file=sys.stderr)
    if not seen:
        print("The memes themselves are not shown; name their folder: --data DIR", file=sys.stderr)


def refuse_other_data(found: "Findings", seen: "Glance") -> None:
    """Raise Refused when a split of the dataset lacks memes that were predicted, or labels them otherwise."""
    odd = []
    for split, predicted in found.predicted.items():
        memes = seen.find(split)
        labels = {name: meme.label for name, (meme, _) in memes.items()}
        named = [None if label < 0 else int(label) for label in predicted.label]
        absent = [name for name in predicted.ids if name not in labels]
        other = [name for name, label in zip(predicted.ids, named, strict=True) if labels.get(name, label) != label]
        for names, what in ((absent, "are not in it"), (other, "have another label in it")):
            if names:
                odd.append(
                    f"{split}: {len(names):,} of {len(predicted.ids):,} memes {what}; first: {', '.join(names[:3])}"
                )
    if odd:
        raise errors.Refused(
            f"{seen.folder} is not the dataset that was compared:\n{errors.listing(odd)}\n"
            "Name the right folder with --data, or run extract and compare again."
        )


if __name__ == "__main__":
    sys.exit(errors.run(main))
