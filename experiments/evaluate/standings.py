"""Which encoders? Every head on every choice of encoders, ranked by dev and tested against the best on the same memes;
and several datasets' rankings together."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from experiments.data import Data, Split, both_classes
from experiments.evaluate import tests
from experiments.evaluate.comparison import rows_of, sizes, without_seed
from experiments.evaluate.scores import Scores
from experiments.results.records import NAN, Across, Leaderboard, Pair, Standing, code_version, to_json, versions
from experiments.search.trials import HeadTask
from experiments.training import Trained
from extract import store
from extract.errors import Refused

LEVEL = 0.05  # of Friedman's and Nemenyi's tests
ENOUGH = 6  # datasets: with five, no ranking of two rows, however clear, is beyond .05


def in_common(loaded: Sequence[Data]) -> tuple[list[Data], list[str]]:
    """Every pair of encoders on the memes and splits that all of them have, and in words what is left out.

    Raises Refused where they have no dev split or no meme in common, or only one label is left.
    """
    if len(devs := sorted({data.dev.name for data in loaded})) > 1:
        raise Refused(f"the encoders have no dev split in common: {' and '.join(devs)}")
    splits = [{split.name: split for split in data.splits} for data in loaded]
    notes, kept = [], {}
    for name in dict.fromkeys(name for its in splits for name in its):
        if not all(name in its for its in splits):
            notes.append(f"{name} is left out: not every encoder has it.")
            continue
        ids = reduce(np.intersect1d, [its[name].pairs.ids for its in splits])
        most = max(len(its[name]) for its in splits)
        if not len(ids):
            raise Refused(f"no meme of {name} has a vector by every encoder")
        if len(ids) < most:
            notes.append(
                f"{name}: {len(ids):,} of {most:,} memes have a vector by every encoder; the rest is left out."
            )
        kept[name] = ids
    cut = [{name: only(its[name], ids) for name, ids in kept.items()} for its in splits]
    for name in (loaded[0].train.name, loaded[0].dev.name):
        both_classes(cut[0][name])
    return [
        replace(
            data,
            train=its[data.train.name],
            dev=its[data.dev.name],
            tests=[split for name, split in its.items() if name not in (data.train.name, data.dev.name)],
        )
        for data, its in zip(loaded, cut, strict=True)
    ], notes


def only(split: Split, ids: np.ndarray) -> Split:
    return split if len(split) == len(ids) else split.only(np.flatnonzero(np.isin(split.pairs.ids, ids)))


def leaderboard(
    dataset: str, tasks: Sequence[HeadTask], trained: Sequence[Trained], seeds: int, notes: Sequence[str]
) -> Leaderboard:
    """Score, rank and test. trained: of each task, in their order; all tasks' data hold the same memes."""
    whole = max((task.data for task in tasks), key=lambda data: sum(bool(each.dim) for each in data.encoders.values()))
    bare = [standing(task) for task in tasks]
    named = [replace(each, name=its.name) for each, its in zip(trained, bare, strict=True)]
    splits = {split.name: split for split in (whole.dev, *whole.tests) if len(split.labelled)}
    scores = {
        name: {each.name: Scores.of(each, name, split.pairs.label) for each in named} for name, split in splits.items()
    }
    rows = {
        name: {row.name: row for row in rows_of(list(scores[name].values()), split)[0]}
        for name, split in splits.items()
    }
    standings = [replace(each, splits={name: its[each.name] for name, its in rows.items()}) for each in bare]
    dev = whole.dev.name
    standings.sort(key=lambda each: -np.nan_to_num(each.splits[dev].metrics["auc_roc"].mean, nan=-1.0))
    judged, notes = whole.judged[0], [*notes]
    if judged is whole.dev:
        notes.append("No test split has both labels: the best is tested on dev, which flatters, for it chose the best.")

    def tested(split: str, names: Sequence[tuple[str, str]]) -> list[Pair]:
        its, group = scores[split], splits[split].labelled.group
        return tests.corrected([tests.by_auc_roc(its[one], its[other], group) for one, other in names])

    pairs = tested(judged.name, [(standings[0].name, each.name) for each in standings[1:]])
    beaten = {pair.against for pair in pairs if pair.conclusion == "gain"}
    others = best_others(standings)
    board = Leaderboard(
        dataset=dataset,
        features="",
        encoders={each.name: each for task in tasks for each in task.encoders.values()},
        sizes=sizes(whole),
        seeds=seeds,
        settings={task.head: without_seed(each) for task, each in zip(tasks, trained, strict=True)},
        dev=dev,
        judged=judged.name,
        standings=[replace(each, level=each.name not in beaten) for each in standings],
        pairs=pairs,
        notes=notes,
        code=code_version(),
        versions=versions(),
        others=[pair for split in dict.fromkeys((dev, judged.name)) for pair in tested(split, others)],
    )
    return replace(board, run=hashlib.sha256(to_json(board).encode()).hexdigest()[:16], features=str(whole.features))


def best_others(standings: Sequence[Standing]) -> list[tuple[str, str]]:
    """Return for each row, the best first, that row of the same head on other encoders which is best on dev, and it."""
    of_head = [[one for one in standings if one.head == each.head and one is not each] for each in standings]
    return [(its[0].name, each.name) for each, its in zip(standings, of_head, strict=True) if its]


def standing(task: HeadTask) -> Standing:
    """A row with all but its figures."""
    names = {side: encoder.name for side, encoder in task.encoders.items()}
    parts = [part for encoder in task.encoders.values() for part in encoder.parts]
    speeds = [store.read_speed(task.data.features / part.name) for part in parts]
    measured = [speed for speed in speeds if speed]
    known = len(measured) == len(speeds)
    return Standing(
        head=task.head,
        text_encoder=names.get("text", ""),
        image_encoder=names.get("image", ""),
        dims=sum(encoder.dim for encoder in task.encoders.values()),
        seconds=sum(speed.each for speed in measured) if known else NAN,
        device=" and ".join(sorted({f"{speed.device} ({speed.machine})" for speed in measured})) if known else "",
        splits={},
        level=True,
    )


def across(boards: Sequence[Leaderboard]) -> Across:
    """Rank the rows that all datasets have on each dataset, and test whether any differ.

    Friedman 1937, and Nemenyi's critical difference q sqrt(k (k + 1) / (6 N)) of k rows' mean ranks over N datasets, as
    Demsar 2006 has them. Rows of which a dataset says nothing are left out.
    """
    figures = [area_by_name(board) for board in boards]
    names = [name for name in figures[0] if all(not math.isnan(its.get(name, NAN)) for its in figures)]
    lost = len({name for its in figures for name in its}) - len(names)
    notes = [f"{lost:,} rows are left out: not every dataset has a figure for them."] if lost else []
    notes += other_weights(boards)
    if not names:
        return Across([board.dataset for board in boards], [], [], [], NAN, NAN, notes)
    areas = np.array([[its[name] for its in figures] for name in names])  # [row, dataset]
    ranks = rankdata(-areas, axis=0).mean(axis=1)
    order = np.argsort(ranks, kind="stable")
    p = critical = NAN
    rows, datasets = areas.shape
    if datasets >= ENOUGH and rows >= 3:
        p = float(friedmanchisquare(*areas).pvalue)
        quantile = studentized_range.ppf(1 - LEVEL, rows, np.inf) / np.sqrt(2)
        critical = float(quantile * np.sqrt(rows * (rows + 1) / (6 * datasets)))
    return Across(
        [board.dataset for board in boards],
        [names[place] for place in order],
        areas[order].tolist(),
        ranks[order].tolist(),
        p,
        critical,
        notes,
    )


def area_by_name(board: Leaderboard) -> Mapping[str, float]:
    return {each.name: each.splits[board.judged].metrics["auc_roc"].mean for each in board.standings}


def other_weights(boards: Sequence[Leaderboard]) -> list[str]:
    """Which encoders of one name have another fingerprint on another dataset, in words."""
    prints: dict[str, set[str]] = {}
    for board in boards:
        for name, encoder in board.encoders.items():
            prints.setdefault(name, set()).add(encoder.fingerprint)
    return [
        f"{name} has other weights or settings on one dataset than on another: its ranks are of several encoders."
        for name, its in prints.items()
        if len(its) > 1
    ]
