"""Stage 2 against the plain PyTorch way, scikit-learn and itself run by run: seconds, test AUC-ROC and TFLOP/s.

A random cache with a planted signal stands in for extracted vectors. All ways are measured in turn, --repeats times.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.compare import HEADS, at_least_one

EXAMPLE = """\
examples:
  python -m experiments.bench heads
  python -m experiments.bench heads --repeats 1 --baseline-seeds 1
  python -m experiments.bench heads --device cuda --seeds 100 --baseline-seeds 1
  python -m experiments.bench heads --scaling --rows 1000000
"""


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if args.scaling:
        from experiments.bench import scaling

        return scaling.main(args.out, args.rows, args.device)

    from extract.machine import resolve_device

    device = resolve_device(args.device)
    with tempfile.TemporaryDirectory() as scratch:
        found = _measure(args, device, Path(scratch))
    _write(args, device, found)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench heads",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--train", type=at_least_one, default=8500, metavar="N", help="rows (default: 8500, as in Hateful Memes)")
    add("--dev", type=at_least_one, default=500, metavar="N", help="rows (default: 500)")
    add("--test", type=at_least_one, default=1000, metavar="N", help="rows (default: 1000)")
    add("--dims", type=at_least_one, nargs=2, default=[768, 2048], metavar="D", help="of text and image vectors")
    add("--seeds", type=at_least_one, default=5, metavar="N", help="runs of each head (default: 5)")
    add(
        "--baseline-seeds",
        type=at_least_one,
        default=1,
        metavar="N",
        help="runs of each head that the plain way trains, its time scaled to --seeds (default: 1)",
    )
    add("--repeats", type=at_least_one, default=3, metavar="N", help="of which the median counts (default: 3)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where heads train (default: auto)")
    add("--scaling", action="store_true", help="instead: how time and memory grow with rows, dims and runs, as a plot")
    add(
        "--rows",
        type=at_least_one,
        default=1_000_000,
        metavar="N",
        help="the most rows of --scaling (default: 1000000)",
    )
    add("--out", type=Path, default=Path("reports"), metavar="DIR", help="where bench_heads.* go (default: reports)")
    return parser


def _measure(args: argparse.Namespace, device: str, scratch: Path) -> dict[str, Any]:
    """All ways in turn, --repeats times: outcomes by way, and rates by head."""
    from tqdm import tqdm

    from experiments import data as loading
    from experiments import training
    from experiments.bench import random_features, ways

    sizes = {"train": args.train, "dev": args.dev, "test": args.test}
    features = random_features.publish(scratch / "features", sizes, tuple(args.dims))
    data = loading.load(features)
    runs = training.runs(HEADS, args.seeds, {})
    baseline = {head: asked[: args.baseline_seeds] for head, asked in runs.items()}
    with tqdm(total=1 + 7 * args.repeats, unit="measurement", disable=None, file=sys.stderr) as bar:
        _, fitted = ways.stacked(data, runs, device)  # warms up, and tells how many epochs each run takes
        bar.update()
        epochs = {head: each.history.dev_auc.isfinite().sum(dim=0).tolist() for head, each in fitted.items()}
        each_way = {
            "compare": lambda: ways.compare(features, scratch / "reports", args.seeds, device, "all"),
            "heads only": lambda: ways.compare(features, scratch / "reports", args.seeds, device, "none"),
            "plain": lambda: ways.plain(features, scratch, baseline, epochs, device),
            "scikit-learn": lambda: ways.mlp_classifier(data, runs["early"][0], epochs["early"][0]),
            "one by one": lambda: ways.one_by_one(data, runs, device),
            "side by side": lambda: ways.side_by_side(data, runs, device),
            "stacked": lambda: ways.stacked(data, runs, device)[0],
        }
        outcomes: dict[str, list[ways.Outcome]] = {name: [] for name in each_way}
        roofs: list[dict[str, dict[str, float]]] = []
        for _ in range(args.repeats):
            for name, way in each_way.items():
                outcomes[name].append(way())
                bar.update()
            roofs.append(_roofs(args, device, runs))
    return {"outcomes": outcomes, "roofs": roofs, "epochs": epochs, "runs": runs}


def _roofs(args: argparse.Namespace, device: str, runs: dict[str, Any]) -> dict[str, dict[str, float]]:
    """TFLOP/s of products as wide as each head's stack, by head and precision."""
    import torch

    from experiments.bench import roof

    found = {}
    for head, asked in runs.items():
        shape = len(asked), asked[0].batch_size, max(roof.widths(head, *args.dims)), asked[0].hidden
        found[head] = {
            name: roof.gemm(*shape, dtype, device)
            for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
        }
    return found


def _write(args: argparse.Namespace, device: str, found: dict[str, Any]) -> None:
    """bench_heads.md and .json."""
    from experiments import tables as layout
    from experiments.bench import bench_tables
    from extract.files import write_text

    tables = [bench_tables.seconds(args, found), bench_tables.quality(found), bench_tables.rates(args, found)]
    about = (
        f"{args.train:,}/{args.dev:,}/{args.test:,} rows of {args.dims[0]:,} + {args.dims[1]:,} dims, "
        f"{len(HEADS)} heads x {args.seeds} seeds; median (min, max) of {args.repeats} interleaved repeats on "
        f"{device}, {os.cpu_count()} cores, torch {bench_tables.torch_version()}, load at the end "
        f"{os.getloadavg()[0]:.1f}."
    )
    page = ["# Stage 2's speed", about, *(layout.markdown(table) for table in tables), bench_tables.NOTES]
    write_text(args.out / "bench_heads.md", "\n\n".join(page))
    raw = {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "load": os.getloadavg()},
        "settings": {head: asdict(asked[0]) for head, asked in found["runs"].items()},
        "epochs": found["epochs"],
        "roofs": found["roofs"],
        "outcomes": {way: [asdict(outcome) for outcome in each] for way, each in found["outcomes"].items()},
        "medians": {way: statistics.median(each.wall for each in runs) for way, runs in found["outcomes"].items()},
    }
    write_text(args.out / "bench_heads.json", json.dumps(raw, indent=1) + "\n")
    print(about, *(layout.plain(table) for table in tables), sep="\n\n")
    print(f"Written to {args.out}: bench_heads.md, bench_heads.json.", file=sys.stderr)
