"""python -m experiments.operating_points: where to set the threshold, chosen on dev and told on test.

Reads what compare wrote, and which memes belong together from the features; writes operating_points.md, .csv, .tex and
.json beside it, which report shows and `predict --at cost` reads.

From Python: `from experiments.operating_points import operating_points`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.options import costs, share
from experiments.options import parser as parser_of
from extract import errors
from extract.places import Place, place

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\
examples:
  python -m experiments.operating_points
  python -m experiments.operating_points --reports reports/my_memes --costs 5,1 --prevalence .03 --error .05
  python -m experiments.predict --split test --at cost
"""


def operating_points(
    reports: Path | str = "reports",
    *,
    features: Place | str | None = None,
    costs: Sequence[float] | None = None,
    prevalence: float | None = None,
    error: float = 0.1,
    write: bool = True,
    quiet: bool = True,
) -> "pd.DataFrame":
    """Return a row for each head, goal and split; see words.moderation.OPERATING_POINTS for what they are.

    reports: what compare wrote. features: where its features lie now, if they were moved. costs: of a miss and of a
    false alarm, both above 0. prevalence: how common label 1 will be. error: of memes that nobody reviews.
    Raises Refused where there is no comparison, where its memes are gone, or for costs that cannot be meant.
    """
    from experiments.evaluate import operating_points as points
    from experiments.results import answers, folder, frames
    from experiments.tables import plain
    from experiments.words import moderation as words

    miss, alarm = costs or (points.NAN, points.NAN)
    if costs and not all(0 < cost < float("inf") for cost in costs):
        raise errors.Refused(NO_COST.format(miss, alarm))
    results = folder.read_results(Path(reports))
    data = folder.memes(results, place(str(features)) if features else None)
    goals = [*points.STANDARD, points.Goal("error", error), points.Goal("cost")]
    answer = points.operating_points(results, data, goals, points.Stakes(miss, alarm, prevalence or points.NAN))
    frame = frames.operating_points(answer.points)
    best = results.best_on_dev
    shown = words.operating_tables(answer, best, results.comparison.judged)
    said = words.operating_points(answer, best)
    if write:
        answers.write(Path(reports), "operating_points", answer, frame, shown, said)
    if not quiet:
        print("\n\n".join([*map(plain, shown), "\n".join(said)]))
    return frame


NO_COST = (
    "--costs {:g},{:g}: both must be numbers above 0. Where a mistake costs nothing, one answer to "
    "every meme is the cheapest, and no threshold is needed"
)


def parser() -> argparse.ArgumentParser:
    about = "Choose thresholds on dev for what a moderator asks, and tell what they give on test."
    parser = parser_of("operating_points", about, EXAMPLES)
    add = parser.add_argument
    add("--reports", type=Path, default=Path("reports"), metavar="DIR", help="what compare wrote (default: reports)")
    add("--features", type=place, metavar="DIR", help="where its features lie now (default: where they were)")
    add("--costs", type=costs, metavar="MISS,ALARM", help="of a missed meme and of a false alarm, as 5,1")
    add("--prevalence", type=share, metavar="P", help="how common label 1 will be (default: as in the dataset)")
    add("--error", type=share, default=0.1, metavar="E", help="of the memes that nobody reviews (default: .1)")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    operating_points(**vars(options), quiet=False)
    print(f"Written to {options.reports}: operating_points.md, .csv, .tex, .json.", file=sys.stderr)


if __name__ == "__main__":
    errors.leave(errors.run(main))
