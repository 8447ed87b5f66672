"""What each benchmark takes on its command line. Imports nothing heavy: --help answers at once."""

import argparse
from collections.abc import Callable
from pathlib import Path

from experiments.bench.random_inputs import VISION
from experiments.options import at_least_one
from experiments.options import parser as parser_of
from extract.machine import DEVICES

ENCODERS = {"text": "all-MiniLM-L6-v2", "image": "resnet50-keras"}  # to be had without a hub


def add_number(
    parser: argparse.ArgumentParser, name: str, default: int, what: str, kind: Callable[[str], int] = at_least_one
) -> None:
    """Add an option that takes a whole number."""
    parser.add_argument(name, type=kind, default=default, metavar="N", help=f"{what} (default: {default})")


def extract() -> argparse.ArgumentParser:
    what = "Stage 1 against the usual notebook: memes a second from files to HDF5, the share of the possible, "
    what += "peak memory."
    parser = parser_of("bench extract", what, """\
examples:
  python -m experiments.bench extract --data data/hateful_memes --rows 512
  python -m experiments.bench extract --random-weights --rows 4000 --device cuda
  python -m experiments.bench extract --random-weights CLIP-ViT-B-32
""")  # fmt: skip
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="dataset whose first train rows are used (default: drawn memes)")
    add_number(parser, "--rows", 512, "memes", int)
    add_number(parser, "--repeats", 3, "interleaved repeats", int)
    for kind, name in ENCODERS.items():
        add(f"--{kind}-encoder", metavar="E", help=f"name or folder (default: {name})")
    sizes = ("ResNet-50", *VISION)
    add("--random-weights", nargs="?", const=sizes[0], choices=sizes, metavar="IMAGE",
        help=f"BERT-base and an image encoder with random weights: needs no download ({', '.join(sizes)})")  # fmt: skip
    add("--device", default="auto", choices=DEVICES, help="default: auto")
    add("--no-memory", action="store_true", help="leave out the runs that measure peak memory")
    return with_out(parser)


def gpu() -> argparse.ArgumentParser:
    what = """\
All that only a GPU can show, in one call: the `gpu` tests, stage 1 and stage 2, in one table and under nine minutes.

It needs no network and no file beyond the checkout: memes are drawn, weights and vectors are random.
"""
    parser = parser_of("bench gpu", what, """\
examples:
  python -m experiments.bench gpu
  python -m experiments.bench gpu --rows 512 --no-tests
""")  # fmt: skip
    add_number(parser, "--rows", 1536, "drawn memes for stage 1")
    add_number(parser, "--repeats", 2, "interleaved repeats of stage 1")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests that need a GPU")
    return with_out(parser)


def heads() -> argparse.ArgumentParser:
    what = """\
Stage 2 against the plain PyTorch way, scikit-learn and itself run by run: seconds, test AUC-ROC and TFLOP/s.

A random cache with a planted signal stands in for extracted vectors. All ways are measured in turn, --repeats times.
"""
    parser = parser_of("bench heads", what, """\
examples:
  python -m experiments.bench heads
  python -m experiments.bench heads --repeats 1 --baseline-seeds 1
  python -m experiments.bench heads --device cuda --seeds 100 --baseline-seeds 1
  python -m experiments.bench heads --scaling --rows 1000000
""")  # fmt: skip
    add = parser.add_argument
    add("--train", type=at_least_one, default=8500, metavar="N", help="rows (default: 8500, as in Hateful Memes)")
    add_number(parser, "--dev", 500, "rows")
    add_number(parser, "--test", 1000, "rows")
    dims_help = "of text and image vectors (default: 768 2048)"
    add("--dims", type=at_least_one, nargs=2, default=[768, 2048], metavar="D", help=dims_help)
    add_number(parser, "--seeds", 5, "runs of each head")
    add_number(parser, "--baseline-seeds", 1, "runs of each head that the plain way trains, its time scaled to --seeds")
    add_number(parser, "--repeats", 3, "of which the median counts")
    add("--device", choices=DEVICES, default="auto", help="where heads train (default: auto)")
    add("--scaling", action="store_true", help="instead: how time and memory grow with rows, dims and runs, as a plot")
    add_number(parser, "--rows", 1_000_000, "the most rows of --scaling")
    return with_out(parser, "where bench_heads.* go")


def ray() -> argparse.ArgumentParser:
    what = (
        "The Ray engine on one machine against the local engine: time, the driver's memory at ten times the rows, "
        "resuming."
    )
    parser = parser_of("bench ray", what, "example:\n  python -m experiments.bench ray --rows 128")
    add_number(parser, "--rows", 128, "drawn memes, and ten times as many", int)
    add_number(parser, "--repeats", 2, "interleaved repeats of the small size", int)
    for kind, name in ENCODERS.items():
        parser.add_argument(f"--{kind}-encoder", default=name, metavar="E", help=f"default: {name}")
    parser.add_argument("--dtype", default="auto", metavar="T", help="arithmetic of the encoders (default: auto)")
    return with_out(parser)


def with_out(parser: argparse.ArgumentParser, where: str = "where the table goes") -> argparse.ArgumentParser:
    parser.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR", help=f"{where} (default: reports)")
    return parser
