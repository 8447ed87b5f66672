"""python -m experiments.sweep: which head settings and encoders do best on dev. Test is never opened.

Reads train and dev under features/. Writes records.jsonl, a line per run that only grows: a sweep that was stopped goes
on where it stood. From it sweep.md (a ranking), sweep.png and .svg, and sweep.json for `compare --from-sweep`.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.compare import HEADS, at_least_one, head_names
from extract import errors
from extract.files import write_text
from extract.machine import resolve_device
from extract.places import place

if TYPE_CHECKING:
    from experiments.search.tasks import Task
    from experiments.search.trials import Log, Trial
    from heads.settings import HeadSettings

EXAMPLE = """\
examples:
  python -m experiments.sweep
  python -m experiments.sweep --heads early,late --grid hidden=128,256 learning_rate=1e-3,3e-4 dropout=0.2,0.5
  python -m experiments.sweep --random 50 --sweep-seed 1 --out reports/random
  python -m experiments.compare --from-sweep reports/sweep/sweep.json
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.sweep",
        description="Try head settings and encoders on train and dev, and rank them by dev AUC-ROC.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--heads", type=head_names, default=HEADS, metavar="H,H", help=f"default: {','.join(HEADS)}")
    add(
        "--grid",
        nargs="+",
        default=[],
        metavar="S=V,V",
        help="settings and their values, every combination of which is tried (default: some around the shipped recipe)",
    )
    add("--random", type=at_least_one, metavar="N", help="try N combinations of the grid, drawn at random, not all")
    add("--sweep-seed", type=int, default=0, metavar="N", help="which combinations --random draws (default: 0)")
    add("--seeds", type=at_least_one, default=3, metavar="N", help="runs of each configuration (default: 3)")
    add("--features", type=place, default=Path("features"), metavar="DIR", help="from extract (default: features)")
    add("--text-encoder", default="all", metavar="E", help="which text vectors (default: all, each with each image's)")
    add("--image-encoder", default="all", metavar="E", help="which image vectors (default: all)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where heads train (default: auto)")
    add("--out", type=Path, default=Path("reports/sweep"), metavar="DIR", help="default: reports/sweep")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)

    from experiments.search import grid

    tried = grid.combinations(grid.parse(options.grid), options.random, options.sweep_seed)

    from experiments.search import tasks as search
    from experiments.search.trials import Log
    from heads.settings import HeadSettings

    device = resolve_device(options.device)
    loaded, notes = search.pairs(options.features, options.text_encoder, options.image_encoder)
    runs = [HeadSettings(**settings, seed=seed) for settings in tried for seed in range(options.seeds)]
    tasks = search.tasks(loaded, options.heads)
    if options.random and len(tried) < options.random:
        notes.append(f"--random {options.random}: the grid holds no more than {len(tried):,}; all are tried.")
    for note in notes:
        print(note, file=sys.stderr)
    with Log(options.out / "records.jsonl") as log:
        trials = train(tasks, runs, log, device)
        others = len({trial.configuration for trial in log.trials} - {trial.configuration for trial in trials})
    scoring = f"python -m experiments.compare --features {options.features} --from-sweep {options.out / 'sweep.json'}"
    write(options.out, trials, others, scoring)


def train(tasks: "list[Task]", runs: "list[HeadSettings]", log: "Log", device: str) -> "list[Trial]":
    """Train what the record does not hold yet; returns all that was asked for, in its order."""
    from tqdm import tqdm

    from experiments import training
    from experiments.results import records
    from experiments.search import tasks as search

    code, held = records.code_version(), log.done()
    digests = [task.rows for task in tasks]
    keys = [task.key(run, rows) for task, rows in zip(tasks, digests, strict=True) for run in runs]
    missing = sum(key not in held for key in keys)
    print(
        f"{len(keys):,} runs: {len(tasks):,} heads and encoders x {len(runs):,} settings and seeds; "
        f"{len(keys) - missing:,} in the record, {missing:,} to train",
        file=sys.stderr,
    )
    with tqdm(total=missing, unit="run", disable=None, file=sys.stderr) as bar:
        for task, rows in zip(tasks, digests, strict=True):
            left = [run for run in runs if task.key(run, rows) not in held]
            if not left:
                continue
            bar.set_description(" ".join([task.head, *(encoder.name for encoder in task.encoders.values())]))
            seen = training.rows(task.data.train), training.rows(task.data.dev)
            for fitted in search.sweep(*seen, {task.head: left}, device=device):
                log.append(task.trials(fitted, rows, code))
                bar.update(len(fitted.runs))
    held = log.done()
    return [held[key] for key in keys]


def write(out: Path, trials: "list[Trial]", others: int, scoring: str) -> None:
    """sweep.md, sweep.json and the plot; the best on the terminal."""
    from experiments import tables
    from experiments.search import ranking
    from experiments.search import tasks as search
    from heads.settings import HeadSettings

    ranked = ranking.rank(trials)
    recipe = search.described(HeadSettings())
    write_text(out / "sweep.md", ranking.page(ranked, trials, others, recipe, scoring))
    choice = json.dumps(ranking.chosen(ranked), indent=1, ensure_ascii=False)
    write_text(out / "sweep.json", choice + "\n")
    print(tables.plain(ranking.best_table(ranked, recipe)), end="\n\n")
    print(tables.plain(ranking.table(ranked, shown=10)), end="\n\n")
    print("\n".join(ranking.reading(ranked, trials, others, scoring)))
    plots = draw(out, trials)
    print(f"Written to {out}: sweep.md, sweep.json, {plots}records.jsonl.", file=sys.stderr)


def draw(out: Path, trials: "list[Trial]") -> str:
    """Names of the plots written; says so where matplotlib is not installed."""
    from experiments.search import ranking

    if fault := errors.not_installed(["matplotlib"], "report"):
        print(f"no plot: it needs {fault}", file=sys.stderr)
        return ""
    from experiments.search import plots as sweep_plots

    sweep_plots.write(out, ranking.rank(trials))
    return "sweep.png, sweep.svg, "


if __name__ == "__main__":
    sys.exit(errors.run(main))
