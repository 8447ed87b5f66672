"""What each benchmark takes on its command line. Imports nothing heavy: --help answers at once."""

import argparse
from pathlib import Path

from experiments.bench.random_inputs import VISION
from experiments.options import at_least_one
from experiments.options import parser as parser_of
from extract.machine import DEVICES

ENCODERS = {"text": "all-MiniLM-L6-v2", "image": "resnet50-keras"}  # to be had without a hub


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
    add("--rows", type=int, default=512, metavar="N", help="memes (default: 512)")
    add("--repeats", type=int, default=3, metavar="N", help="interleaved repeats (default: 3)")
    for kind, name in ENCODERS.items():
        add(f"--{kind}-encoder", metavar="E", help=f"name or folder (default: {name})")
    sizes = ("ResNet-50", *VISION)
    add("--random-weights", nargs="?", const=sizes[0], choices=sizes, metavar="IMAGE",
        help=f"BERT-base and an image encoder with random weights: needs no download ({', '.join(sizes)})")  # fmt: skip
    add("--device", default="auto", choices=DEVICES, help="default: auto")
    add("--no-memory", action="store_true", help="leave out the runs that measure peak memory")
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
    add("--dev", type=at_least_one, default=500, metavar="N", help="rows (default: 500)")
    add("--test", type=at_least_one, default=1000, metavar="N", help="rows (default: 1000)")
    dims_help = "of text and image vectors (default: 768 2048)"
    add("--dims", type=at_least_one, nargs=2, default=[768, 2048], metavar="D", help=dims_help)
    add("--seeds", type=at_least_one, default=5, metavar="N", help="runs of each head (default: 5)")
    scaled_help = "runs of each head that the plain way trains, its time scaled to --seeds (default: 1)"
    add("--baseline-seeds", type=at_least_one, default=1, metavar="N", help=scaled_help)
    add("--repeats", type=at_least_one, default=3, metavar="N", help="of which the median counts (default: 3)")
    add("--device", choices=DEVICES, default="auto", help="where heads train (default: auto)")
    add("--scaling", action="store_true", help="instead: how time and memory grow with rows, dims and runs, as a plot")
    rows_help = "the most rows of --scaling (default: 1000000)"
    add("--rows", type=at_least_one, default=1_000_000, metavar="N", help=rows_help)
    return with_out(parser, "where bench_heads.* go")


def ray() -> argparse.ArgumentParser:
    what = (
        "The Ray engine on one machine against the local engine: time, the driver's memory at ten times the rows, "
        "resuming."
    )
    parser = parser_of("bench ray", what, "example:\n  python -m experiments.bench ray --rows 128")
    add = parser.add_argument
    add("--rows", type=int, default=128, metavar="N", help="drawn memes, and ten times as many (default: 128)")
    add("--repeats", type=int, default=2, metavar="N", help="interleaved repeats of the small size (default: 2)")
    for kind, name in ENCODERS.items():
        add(f"--{kind}-encoder", default=name, metavar="E", help=f"default: {name}")
    add("--dtype", default="auto", metavar="T", help="arithmetic of the encoders (default: auto)")
    return with_out(parser)


def with_out(parser: argparse.ArgumentParser, where: str = "where the table goes") -> argparse.ArgumentParser:
    parser.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR", help=f"{where} (default: reports)")
    return parser
