"""python -m experiments.leaderboard: which encoders? Every head on every choice of encoders, on the same memes.

Reads features/. Writes leaderboard.md, .csv, .tex, .json, and two drawings (extra: report). Of several features folders
each has such a leaderboard in a folder of its own, and across.md, .csv, .tex, .json say what they have in common. What
was trained is kept: a run that was stopped goes on where it stood.

From Python: `from experiments.leaderboard import leaderboard`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.options import DEFAULT_HEADS, DRAWN_BY, at_least_one, head_names
from experiments.options import parser as parser_of
from extract import errors
from extract.machine import DEVICES
from extract.places import Place, name, place

if TYPE_CHECKING:
    import pandas as pd

    from experiments.results.records import Across, Leaderboard
    from experiments.search.trials import HeadTask
    from experiments.training import Trained

EXAMPLES = """\
examples:
  python -m experiments.leaderboard
  python -m experiments.leaderboard --text-encoder all,all-MiniLM-L6-v2+all-mpnet-base-v2 --heads text,early
  python -m experiments.leaderboard --features features/mine,features/yours,features/theirs
"""


@dataclass(frozen=True)
class Leaderboards:
    """One for each features folder, and what they say together; as pandas frames: `table`, `others`."""

    boards: "list[Leaderboard]"
    across: "Across | None"  # None of one dataset

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each dataset, row of its leaderboard and split: columns as in leaderboard.csv."""
        import pandas as pd

        from experiments.results import frames

        every = [frames.leaderboard(board).assign(dataset=board.dataset) for board in self.boards]
        return pd.concat(every, ignore_index=True)

    @property
    def others(self) -> "pd.DataFrame":
        """A row for each dataset, row and split, dev or test: the same head's best on other encoders against it."""
        import pandas as pd

        return pd.DataFrame(
            {"dataset": board.dataset} | asdict(pair) | {"difference": pair.difference}
            for board in self.boards
            for pair in board.others
        )


def leaderboard(
    features: Place | str | Sequence[Place | str] = "features",
    *,
    heads: str | Sequence[str] = DEFAULT_HEADS,
    text_encoder: str = "all",
    image_encoder: str = "all",
    seeds: int = 5,
    out: Path | str = "reports/leaderboard",
    device: str = "auto",
    quiet: bool = True,
) -> Leaderboards:
    """Train every head on every choice of encoders that `out` does not hold yet; rank, test and write.

    features: one folder or several, each of a dataset of its own. text_encoder, image_encoder: "all,a+b": each of a
    kind, and a sum. quiet: print nothing. The others are as on the command line. Raises Refused for what cannot be
    compared, Failed where every head's training diverged.
    """
    from experiments.evaluate import standings
    from experiments.results import boards
    from extract.machine import resolve_device

    asked = features.split(",") if isinstance(features, str) else features
    folders = [place(str(each)) for each in (asked if isinstance(asked, Sequence) else [asked]) if str(each)]
    names, device = head_names(heads), resolve_device(device)
    called = dataset_names(folders)
    asked_of = [tasks_of(folder, names, text_encoder, image_encoder) for folder in folders]  # refused before any work
    made = []
    for dataset, (tasks, notes) in zip(called, asked_of, strict=True):
        into = Path(out) / dataset if len(folders) > 1 else Path(out)
        if not quiet:
            encoders = {each.name for task in tasks for each in task.encoders.values()}
            print(f"{dataset}: {len(tasks):,} rows, {len(encoders):,} encoders", file=sys.stderr)
        tasks, trained, lost = train(tasks, seeds, into, device, quiet)
        made.append(standings.leaderboard(dataset, tasks, trained, seeds, [*notes, *lost]))
        draw(into, made[-1])
        boards.write(into, made[-1])
    across = standings.across(made) if len(made) > 1 else None
    if across:
        boards.write_across(Path(out), across)
    return Leaderboards(made, across)


def dataset_names(folders: Sequence[Place]) -> list[str]:
    """Return what each features folder's dataset is called, else the folder itself; numbered where names are equal.

    Raises Refused where there is no folder, or one is named twice.
    """
    if len(set(map(str, folders))) < len(folders) or not folders:
        raise errors.Refused(f"--features names no folder, or one twice: {', '.join(map(str, folders))}")
    from experiments.data import dataset_name

    plain = [dataset_name(folder) or name(folder) or "features" for folder in folders]
    return [
        each if plain.count(each) == 1 else f"{each}-{plain[:number].count(each) + 1}"
        for number, each in enumerate(plain)
    ]


def tasks_of(
    features: Place, heads: Sequence[str], text_encoder: str, image_encoder: str
) -> "tuple[list[HeadTask], list[str]]":
    """Every head on every choice of encoders, all on the same memes, and in words what was left out.

    Raises Refused as loading does.
    """
    from experiments.data import trainable
    from experiments.evaluate import standings
    from experiments.search import trials

    loaded, notes = trials.pairs(features, text_encoder, image_encoder, tests=True)
    loaded, left_out = standings.in_common(loaded)
    able, unable = trainable(loaded[0], heads)
    return trials.tasks(loaded, able), [*notes, *left_out, *unable]


def train(
    tasks: "Sequence[HeadTask]", seeds: int, out: Path, device: str, quiet: bool
) -> "tuple[list[HeadTask], list[Trained], list[str]]":
    """Train what `out` does not hold yet, a pair of encoders at a time; return tasks, what they came to, and in words
    those that are left out, for their training diverged.

    Raises Refused where nothing can be written, Failed where every one diverged.
    """
    from tqdm import tqdm

    from experiments import training
    from experiments.results import folder, trainings
    from experiments.words.comparison import diverged
    from extract.locks import locked

    folder.prepare(out, trainings.FOLDER)
    runs = training.runs([task.head for task in tasks], seeds, {})
    of_pair: dict[int, list[HeadTask]] = {}
    for task in tasks:
        of_pair.setdefault(id(task.data), []).append(task)
    held: dict[tuple[int, str], Trained] = {}  # by pair and head
    with locked(out, "another leaderboard", "--out"):
        kept = trainings.Trainings(out, device)
        with tqdm(of_pair.items(), "pairs of encoders", disable=quiet or None, file=sys.stderr) as bar:
            for pair, its in bar:
                bar.set_postfix_str(" + ".join(each.name for each in its[0].data.encoders.values() if each.dim))
                trained = kept.of(its[0].data, {task.head: runs[task.head] for task in its})
                held |= {(pair, head): each for head, each in trained.items()}
        kept.forget_others()
    every = [(task, held[id(task.data), task.head]) for task in tasks]
    sound = [(task, trained) for task, trained in every if not trained.diverged]
    lost = [
        diverged(f"{task.head} on {' + '.join(each.name for each in task.encoders.values())}", trained.diverged)
        for task, trained in every
        if trained.diverged
    ]
    if not sound:
        raise errors.Failed("\n".join(lost))
    return [task for task, _ in sound], [trained for _, trained in sound], lost


def draw(out: Path, board: "Leaderboard") -> None:
    """Write the drawings, where the libraries are installed that draw."""
    from extract.files import write_text

    if not errors.not_installed(DRAWN_BY, "report"):
        from experiments.pages import boards

        for panel in boards.panels(board):
            write_text(out / f"{panel.name}.svg", panel.standalone)


def parser() -> argparse.ArgumentParser:
    about = "Train every head on every choice of encoders, rank them by dev, and test the best on test."
    parser = parser_of("leaderboard", about, EXAMPLES)
    add = parser.add_argument
    add("--features", default="features", metavar="DIR,DIR", help="of extract; several: datasets (default: features)")
    add("--heads", default=DEFAULT_HEADS, metavar="H,H", help=f"or all (default: {DEFAULT_HEADS})")
    add("--text-encoder", default="all", metavar="E,E+E", help="text vectors (default: all); E+E: side by side")
    add("--image-encoder", default="all", metavar="E,E+E", help="image vectors, likewise (default: all)")
    add("--seeds", type=at_least_one, default=5, metavar="N", help="runs of each row (default: 5)")
    add("--device", choices=DEVICES, default="auto", help="where heads train (default: auto)")
    add("--out", type=Path, default=Path("reports/leaderboard"), metavar="DIR", help="default: reports/leaderboard")
    return parser


def main(argv: list[str] | None = None) -> None:
    options = parser().parse_args(argv)
    result = leaderboard(**vars(options), quiet=False)

    from experiments.tables import plain
    from experiments.words import boards as words

    for board in result.boards:
        shown = words.level_table(board, f"{board.dataset}: level with the best, {words.order(board)} first")
        print(plain(shown), end="\n\n")
        print("\n".join([*words.leaderboard(board), *board.notes]), end="\n\n")
    if result.across:
        print(plain(words.across_table(result.across, "Over all datasets")), end="\n\n")
        print("\n".join([*words.across(result.across), *result.across.notes]))
    if lacking := errors.not_installed(DRAWN_BY, "report"):
        print(f"no drawings: {lacking}", file=sys.stderr)
    print(f"Written to {options.out}: leaderboard.md, .csv, .tex, .json, and drawings.", file=sys.stderr)


if __name__ == "__main__":
    errors.leave(errors.run(main, goes_on=True))
