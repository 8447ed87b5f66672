"""python -m experiments.sweep: which head settings and encoders do best on dev. Test is never opened.

Reads train and dev under features/. Writes records.jsonl, a line per run that only grows: a sweep that was stopped goes
on where it stood. From it sweep.md (a ranking), sweep.png and .svg, and sweep.json for `compare --from-sweep`.

From Python: `from experiments.sweep import sweep`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from experiments.options import DEFAULT_HEADS, at_least_one, head_names
from experiments.options import parser as parser_of
from extract import errors
from extract.machine import DEVICES
from extract.places import Place, place

if TYPE_CHECKING:
    import pandas as pd

    from experiments.search.ranking import Candidate, Choice
    from experiments.search.trials import HeadTask, Trial, TrialLog
    from heads.settings import HeadSettings

EXAMPLES = """\
examples:
  python -m experiments.sweep
  python -m experiments.sweep --heads early,late --grid hidden=128,256 learning_rate=1e-3,3e-4 dropout=0.2,0.5
  python -m experiments.sweep --random 50 --sweep-seed 1 --out reports/random
  python -m experiments.compare --from-sweep reports/sweep/sweep.json
"""


@dataclass(frozen=True)
class Sweep:
    """What a sweep came to; as a pandas frame: `table`."""

    ranked: "list[Candidate]"  # best mean dev AUC-ROC first
    choice: "Choice"  # what compare's `from_sweep` takes
    trials: "list[Trial]"  # one per run, in the order asked for
    others: int  # configurations in the same record that this sweep did not ask for
    scoring: str  # the command that scores the choice on test

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each configuration, best first: head, encoders, settings, mean and spread of dev AUC-ROC."""
        from experiments.results.frames import frame

        return frame(
            {"head": each.head, "text_encoder": each.text_encoder, "image_encoder": each.image_encoder}
            | each.settings
            | {"dev_auc_mean": each.mean, "dev_auc_sd": each.sd, "seeds": len(each.auc)}
            for each in self.ranked
        )

    @property
    def reading(self) -> list[str]:
        """Sentences on how far its ranking can be trusted."""
        from experiments.words.sweep import sweep_reading

        return sweep_reading(self.ranked, self.trials, self.others, self.choice.notes, self.scoring)


def sweep(
    features: Place | str = "features",
    *,
    heads: str | Sequence[str] = DEFAULT_HEADS,
    grid: Sequence[str] | Mapping[str, Sequence[Any]] = (),
    random: int | None = None,
    sweep_seed: int = 0,
    seeds: int = 3,
    text_encoder: str = "all",
    image_encoder: str = "all",
    device: str = "auto",
    out: Path | str = "reports/sweep",
    quiet: bool = True,
) -> Sweep:
    """Train every configuration that the record under `out` does not hold yet, and rank all that was asked for.

    grid: values by setting, or words as on the command line; none: some around the shipped recipe. quiet: print
    nothing. Raises Refused for what cannot be meant or read.
    """
    from experiments.search import grid as grids

    values = dict(grid) if isinstance(grid, Mapping) else grids.parse(grid)
    names = head_names(heads)
    tried = {head: grids.combinations(values or grids.default(head), random, sweep_seed) for head in names}

    from dataclasses import replace

    from experiments.data import trainable
    from experiments.evaluate.comparison import size
    from experiments.search import ranking, trials
    from experiments.words.sweep import left_behind
    from extract.locks import locked
    from extract.machine import resolve_device
    from heads.models import HEADS

    device = resolve_device(device)
    loaded, notes = trials.pairs(place(str(features)), text_encoder, image_encoder)
    runs = {  # combinations that differ in what a head ignores are one
        head: list(dict.fromkeys(HEADS[head].settings(**each, seed=seed) for each in its for seed in range(seeds)))
        for head, its in tried.items()
    }
    names, left_out = trainable(loaded[0], names)
    notes += left_out
    tasks = trials.tasks(loaded, names)
    if random and (most := max(map(len, tried.values()))) < random:
        notes.append(f"--random {random}: the grid holds no more than {most:,}; all are tried.")
    for note in notes if not quiet else ():
        print(note, file=sys.stderr)
    with locked(Path(out), "another sweep", "--out"):
        log = trials.TrialLog(Path(out) / "records.jsonl")
        done = train(tasks, runs, log, device, quiet)
        others = len({trial.configuration for trial in log.trials} - {trial.configuration for trial in done})
    ranked = ranking.rank(done)
    choice, on_pair = ranking.choose(ranked)
    pair = next(
        data
        for data in loaded
        if choice.text_encoder in (None, data.text.name) and choice.image_encoder in (None, data.image.name)
    )
    choice = replace(choice, notes=left_behind(ranked, on_pair), splits=[size(pair.train), size(pair.dev)])
    result = Sweep(ranked, choice, done, others, scoring(choice, names, features, Path(out)))
    write(Path(out), result)
    return result


def scoring(choice: "Choice", heads: Sequence[str], features: Place | str, out: Path) -> str:
    """Return the command that scores a choice on test; beside the sweep, where no other comparison lies."""
    sides = {"text": choice.text_encoder, "image": choice.image_encoder}
    unused = "".join(f" --{side}-encoder none" for side, encoder in sides.items() if encoder is None)
    sweep = quote(str(out / "sweep.json"))
    return (
        f"python -m experiments.compare --features {quote(str(features))} --from-sweep {sweep}{unused} "
        f"--heads {','.join(heads)} --out {quote(str(out))}"
    )


def train(
    tasks: "list[HeadTask]", runs: "dict[str, list[HeadSettings]]", log: "TrialLog", device: str, quiet: bool
) -> "list[Trial]":
    """Train what the record does not hold yet, runs by head; return all that was asked for, in its order."""
    from tqdm import tqdm

    from experiments import training
    from experiments.results.records import code_version
    from experiments.search import trials
    from experiments.words import counted

    code = code_version()
    asked = [(runs[task.head], task.planned(runs[task.head], code)) for task in tasks]
    planned = [dict(zip(*each, strict=True)) for each in asked]  # trials by run
    held, keys = log.done(), [trial.key for its in planned for trial in its.values()]
    missing = sum(key not in held for key in keys)
    if not quiet:
        counts = [len(its) for its in planned]
        each = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
        print(
            f"{len(keys):,} runs: {counted(len(tasks), 'choice')} of head and encoders x {each} of settings and seed; "
            f"{len(keys) - missing:,} in the record, {missing:,} to train",
            file=sys.stderr,
        )
    with tqdm(total=missing, unit="run", disable=quiet or None, file=sys.stderr) as bar:
        for task, its in zip(tasks, planned, strict=True):
            left = [run for run, trial in its.items() if trial.key not in held]
            if not left:
                continue
            bar.set_description(" ".join([task.head, *(encoder.name for encoder in task.encoders.values())]))
            split_rows = training.rows(task.data.train), training.rows(task.data.dev)
            for fitted in trials.train(task.head, left, *split_rows, device):
                log.append(trials.scored([its[run] for run in fitted.runs], fitted))
                bar.update(len(fitted.runs))
    held = log.done()
    return [held[key] for key in keys]


def write(out: Path, result: Sweep) -> None:
    """Write sweep.md, sweep.json and the plot; that only where matplotlib is installed."""
    from importlib.util import find_spec

    from experiments.results.records import write_record
    from experiments.words.sweep import sweep_markdown

    page = sweep_markdown(result.ranked, result.trials, result.reading)
    write_record(out, "sweep", result.choice, md=page)
    if find_spec("matplotlib"):
        from experiments.search import plots

        plots.write(out, result.ranked)


def parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "sweep", "Try head settings and encoders on train and dev, and rank them by dev AUC-ROC.", EXAMPLES
    )
    add = parser.add_argument
    add("--heads", default=DEFAULT_HEADS, metavar="H,H", help=f"or all (default: {DEFAULT_HEADS})")
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
    add("--text-encoder", default="all", metavar="E,E+E", help="text vectors, each with each image's (default: all)")
    add("--image-encoder", default="all", metavar="E,E+E", help="image vectors (default: all); E+E: side by side")
    add("--device", choices=DEVICES, default="auto", help="where heads train (default: auto)")
    add("--out", type=Path, default=Path("reports/sweep"), metavar="DIR", help="default: reports/sweep")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    result = sweep(**vars(options), quiet=False)

    from experiments.tables import plain
    from experiments.words.sweep import best_table, ranking_table

    print(plain(best_table(result.ranked)), end="\n\n")
    print(plain(ranking_table(result.ranked, shown=10)), end="\n\n")
    print("\n".join(result.reading))
    if missing := errors.not_installed(["matplotlib"], "report"):
        print(f"no plot: {missing}", file=sys.stderr)
    plots = "" if missing else "sweep.png, sweep.svg, "
    print(f"Written to {options.out}: sweep.md, sweep.json, {plots}records.jsonl.", file=sys.stderr)


if __name__ == "__main__":
    errors.leave(errors.run(main, goes_on=True))
