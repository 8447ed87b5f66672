"""python -m experiments.report: what compare found, as one HTML page and as Markdown.

Reads what compare wrote under --reports (and the memes themselves, with --data); writes report.html, which opens from
disk and needs nothing else, and report.md with its drawings in figures/.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.options import DRAWN_BY, add_slice_by
from experiments.options import parser as parser_of
from extract import errors
from extract.places import Place, place

if TYPE_CHECKING:
    from experiments.dataset_summary import DatasetSummary
    from experiments.results.folder import Results

EXAMPLE = """\
examples:
  python -m experiments.report
  python -m experiments.report --reports reports/sample --data data/sample
  python -m experiments.report --data data/hateful_memes --no-images
"""


def parser() -> argparse.ArgumentParser:
    about = "Write report.html and report.md about what `python -m experiments.compare` found."
    parser = parser_of("report", about, EXAMPLE)
    add = parser.add_argument
    add("--reports", type=Path, default=Path("reports"), metavar="DIR", help="what compare wrote (default: reports)")
    shown = "the memes themselves, to show them and their dataset (default: left out)"
    add("--data", type=place, metavar="DIR", help=shown)
    add("--out", type=Path, metavar="DIR", help="where the report goes (default: the --reports folder)")
    add_slice_by(parser)
    add("--features", type=place, metavar="DIR", help="with --slice-by: where features lie now (default: as compared)")
    add("--no-images", action="store_true", help="show no image of any meme")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    what = {name: getattr(options, name) for name in ("reports", "data", "out", "slice_by", "features")}
    path = report(**what, images=not options.no_images, quiet=False)
    print(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB) and report.md.", file=sys.stderr)
    if not options.data:
        print("The memes themselves are not shown; name their folder: --data DIR", file=sys.stderr)


def report(
    reports: Path,
    data: Place | None = None,
    out: Path | None = None,
    images: bool = True,
    quiet: bool = True,
    slice_by: str | None = None,
    features: Place | None = None,
) -> Path:
    """Write report.html, report.md and figures/ about a comparison, and return the path of report.html.

    reports: what compare wrote. data: the memes themselves, to show them and their dataset. out: a folder, that of the
    comparison unless given. images: show images of memes. slice_by: columns of the manifest to cut by,
    which `features` hold (those that were compared unless given). Raises Refused where there is no comparison, where
    `data` is another dataset, or where a library is missing that draws pages.
    """
    from experiments import dataset_summary
    from experiments.evaluate.field_slices import field_slices
    from experiments.results import answers, folder

    errors.need(DRAWN_BY, "pages need", "report")
    from experiments.pages import document, report_page

    results = folder.read_results(reports)
    fields = [field for field in (slice_by or "").split(",") if field]
    if fields:
        memes = folder.memes(results, features)
        by_field = {field: field_slices(results, memes, field) for field in fields}
        answers.write_slices(reports, replace(results, by_field=by_field))
    sides = [side for side, encoder in results.comparison.encoders.items() if encoder.dim]
    summary = dataset_summary.summarise(data, quiet, sides) if data else None
    if summary:
        refuse_other_data(results, summary)
    return document.publish(report_page.page(results, summary, images, reports, quiet), out or reports, "report")


def refuse_other_data(results: "Results", summary: "DatasetSummary") -> None:
    """Raise Refused when a split of the dataset lacks memes that were predicted, or labels them otherwise."""
    faults = []
    for split, predicted in results.predicted.items():
        if split in results.comparison.elsewhere:
            continue  # another dataset's
        labels = {name: meme.label for name, (meme, _) in summary.find(split).items()}
        compared = [None if label < 0 else int(label) for label in predicted.label]
        absent = [name for name in predicted.ids if name not in labels]
        other = [name for name, label in zip(predicted.ids, compared, strict=True) if labels.get(name, label) != label]
        for names, what in ((absent, "are not in it"), (other, "have another label in it")):
            if names:
                faults.append(
                    f"{split}: {len(names):,} of {len(predicted.ids):,} memes {what}; first: {errors.named(names)}"
                )
    if faults:
        raise errors.Refused(
            f"{summary.folder} is not the dataset that was compared:\n{errors.listing(faults)}\n"
            "Name the right folder with --data, or run extract and compare again."
        )


if __name__ == "__main__":
    errors.leave(errors.run(main))
