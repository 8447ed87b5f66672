"""`python -m extract.sample`: draw sample memes into a folder; the same command goes on where it was interrupted."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from extract.errors import leave, run
from extract.sample import draw
from extract.sample.plan import SampleSettings


def main(argv: Sequence[str] | None = None) -> int:
    defaults = SampleSettings()
    parser = argparse.ArgumentParser(
        prog="python -m extract.sample",
        description="Draw sample memes: captions and pictures of the country or the city; the label is 1 when they "
        "disagree. Text alone and image alone are at chance, only both together decide.",
        epilog="example:  python -m extract.sample --out data/sample --train 600 --dev 150 --test 150 --seed 0",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, sides = parser.add_argument, (defaults.shortest, defaults.longest)
    add("--out", type=Path, required=True, metavar="DIR", help="folder to draw into")
    for split, count in defaults.splits().items():
        add(f"--{split}", type=int, default=count, metavar="N", help=f"{split} memes (default {count})")
    seed_help = f"another seed, other memes (default {defaults.seed})"
    add("--seed", type=int, default=defaults.seed, metavar="N", help=seed_help)
    sides_help = f"pixels of the pictures' sides (default {sides[0]} {sides[1]})"
    add("--sides", type=int, nargs=2, default=sides, metavar=("FROM", "TO"), help=sides_help)
    add("--workers", type=int, metavar="N", help="processes (default: as many as pay)")
    asked = parser.parse_args(argv)

    settings = SampleSettings(asked.train, asked.dev, asked.test, asked.seed, *asked.sides)
    drawn = draw(asked.out, settings, asked.workers)
    counts = ", ".join(f"{split} {count:,}" for split, count in settings.splits().items())
    print(f"{asked.out}: {counts} memes; " + (f"{drawn:,} drawn" if drawn else "all there already, nothing drawn"))
    return 0


if __name__ == "__main__":
    leave(run(main, goes_on=True))
