"""From trained heads to a Comparison: score every split, test every fusion, cut slices."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from experiments.data import Data, Split, digest
from experiments.evaluate import resampling, slices, tests
from experiments.evaluate.scores import Scores, chance, mean_threshold, row, statistic
from experiments.results.records import (
    NAN,
    NOT_IN_TRAIN,
    Ablation,
    Comparison,
    Figure,
    Row,
    SplitSize,
    code_version,
    versions,
)
from experiments.training import Trained
from extract.dataset import SIDES


def evaluate(
    data: Data, trained: Sequence[Trained], seeds: int, calibration: str, ablations: Sequence[Ablation] = ()
) -> Comparison:
    """Score dev and every labelled test split; judge fusions on the test splits that hold both labels, else on dev."""
    [(device, precision)] = {(each.fitted.device.type, each.fitted.precision) for each in trained if each.fitted}
    splits = [data.dev, *data.tests]
    scored = [split for split in splits if len(split.labelled)]
    judged, notes = data.judged, list(data.notes)
    if judged[0] is data.dev:
        notes.append(
            "No test split has both labels: fusions are judged on dev, which flatters, for it chose the epochs."
        )
    scores = {
        split.name: {each.name: Scores.of(each, split.name, split.pairs.label) for each in trained} for split in scored
    }
    rows: list[Row] = []
    draws: dict[str, tests.Draws] = {}
    unseen = []
    for split in scored:
        every = with_means(trained, scores[split.name], data.dev)
        notes += placeholders(split.labelled)
        its_rows, draws[split.name] = rows_of(every, split)
        rows += its_rows
        rest = slices.unseen(split.labelled, data.train)
        if 0 < len(rest) < len(split.labelled):
            part = split.labelled.only(rest)
            unseen.append(replace(size(part), name=split.name + NOT_IN_TRAIN))
            rows += rows_of([each.only(rest, unseen[-1].name) for each in every], part)[0]
    dev = [each for each in rows if each.split == data.dev.name]
    single = tests.better_single(dev)
    pairs, others, linear, parts = [], [], [], []
    for split in judged:
        of_split, group = scores[split.name], split.labelled.group
        pairs += tests.fusion_pairs(single, of_split, group, draws[split.name]) if single else []
        others += tests.other_pairs(single, of_split, group)
        others += tests.ensemble_pairs(dev, of_split, group)
        linear += tests.linear_pairs(dev, of_split, group)
        parts += slices.slices(split.labelled, data.train, [each for each in of_split.values() if each.kind == "head"])
    comparison = Comparison(
        encoders=data.encoders,
        splits=sizes(data),
        seeds=seeds,
        settings={each.name: without_seed(each) for each in trained if each.kind == "head"},
        calibration=calibration,
        device=device,
        precision=precision,
        rows=rows,
        judged=[split.name for split in judged],
        pairs=tests.corrected(pairs),
        linear=tests.corrected(linear),
        other_pairs=tests.corrected(others),
        unseen=unseen,
        slices=parts,
        notes=notes,
        image_share={each.name: each.image_share for each in trained if each.image_share == each.image_share},
        ensemble=next((each.settings[0]["heads"] for each in trained if each.kind == "ensemble"), {}),
        ablations=list(ablations),
        elsewhere=[split.name for split in data.tests if split.elsewhere],
        code=code_version(),
        versions=versions(),
    )
    run = hashlib.sha256(comparison.to_json().encode()).hexdigest()[:16]
    return replace(comparison, run=run, features=str(data.features))


def with_means(trained: Sequence[Trained], scores: Mapping[str, Scores], dev: Split) -> list[Scores]:
    """Return heads, then what predict says where a head has several runs: their mean, an ensemble, references."""
    heads = [scores[each.name] for each in trained if each.kind == "head"]
    means = [
        scores[each.name].mean_of_runs(mean_threshold(each, dev.name, dev.pairs.label))
        for each in trained
        if each.kind == "head" and len(each.threshold) > 1
    ]
    rest = [scores[each.name] for kind in ("ensemble", "reference") for each in trained if each.kind == kind]
    return [*heads, *means, *rest]


def rows_of(every: Sequence[Scores], split: Split) -> tuple[list[Row], tests.Draws]:
    """Return the table's rows of these memes, chance the last where there are references, and the bootstrap's draws."""
    labelled = split.labelled
    draws = resampling.bootstrap(labelled.group, {each.name: statistic(each) for each in every})
    rows = [row(each, draws[each.name], labelled.group) for each in every]
    if every[-1].kind == "reference":
        expected = {name: Figure(value) for name, value in chance(every[-1].label).items()}
        rows.append(Row("chance", "reference", every[-1].split, 1, NAN, expected, {}))
    return rows, draws


def placeholders(split: Split) -> list[str]:
    """What more than half of a split's memes share, which is no reason to take them for variants of each other."""
    shared = {"text": resampling.common(split.text_group).sum(), "image": resampling.common(split.image_group).sum()}
    return [
        f"{split.name}: {count / len(split):.0%} of the memes share one {side}; it ties no memes together, for of one "
        "group there is no test."
        for side, count in shared.items()
        if count
    ]


def sizes(data: Data) -> list[SplitSize]:
    """Return what train, dev and test splits hold, and how much of the latter stands in train."""
    sizes = [size(data.train)]
    for split in (data.dev, *data.tests):
        shared = slices.held_by_train(split, data.train)
        shared["any"] = np.any(list(shared.values()), axis=0)
        sizes.append(replace(size(split), in_train={what: int(mask.sum()) for what, mask in shared.items()}))
    return sizes


def size(split: Split) -> SplitSize:
    labelled = split.labelled
    texts, groups = (int(each.max(initial=-1)) + 1 for each in (labelled.text_group, labelled.group))
    positive = int((labelled.pairs.label == 1).sum())
    sides = {side: digest([split], [side]) for side in SIDES if getattr(split.pairs, side).identity.dim}
    return SplitSize(split.name, len(split), len(labelled), positive, texts, digest([split]), groups, sides=sides)


def without_seed(trained: Trained) -> dict[str, object]:
    return {key: value for key, value in trained.settings[0].items() if key != "seed"}
