"""From trained heads to a Comparison: score every split, test every fusion, cut slices."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments.data import Data, Split, digest
from experiments.evaluate import statistics, tests
from experiments.evaluate.scores import Scores, chance, row, statistic
from experiments.evaluate.slices import held_by_train, slices
from experiments.results.records import NAN, Comparison, Figure, Row, SplitSize, code_version, versions
from experiments.training import Trained


def evaluate(data: Data, trained: Sequence[Trained], seeds: int, calibration: str) -> Comparison:
    """Score dev and every labelled test split; judge fusions on the test splits that hold both labels, else on dev."""
    [(device, precision)] = {(each.fitted.device.type, each.fitted.precision) for each in trained if each.fitted}
    splits = [data.dev, *data.tests]
    scored = [split for split in splits if len(split.labelled)]
    judged = [split for split in scored if split is not data.dev and has_both_labels(split)]
    notes = list(data.notes)
    if not judged:
        judged = [data.dev]
        notes.append(
            "No test split has both labels: fusions are judged on dev, which flatters, for it chose the epochs."
        )
    scores = {
        split.name: {each.name: Scores.of(each, split.name, split.pairs.label) for each in trained} for split in scored
    }
    rows: list[Row] = []
    draws = {}
    for split in scored:
        of_split = scores[split.name]
        draws[split.name] = statistics.bootstrap(
            split.labelled.group, {name: statistic(each) for name, each in of_split.items()}
        )
        group = split.labelled.group
        rows += [row(each, draws[split.name][name], group) for name, each in of_split.items()]
        if any(each.kind == "reference" for each in trained):
            rows.append(chance_row(split))
    dev = [each for each in rows if each.split == data.dev.name]
    single = tests.better_single(dev)
    pairs, others, linear, parts = [], [], [], []
    for split in judged:
        of_split, group = scores[split.name], split.labelled.group
        pairs += tests.fusion_pairs(single, of_split, group, draws[split.name]) if single else []
        others += tests.other_pairs(single, of_split, group)
        linear += tests.linear_pairs(dev, of_split, group)
        parts += slices(split.labelled, data.train, [each for each in of_split.values() if each.kind == "head"])
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
        slices=parts,
        notes=notes,
        code=code_version(),
        versions=versions(),
    )
    run = hashlib.sha256(comparison.to_json().encode()).hexdigest()[:16]
    return replace(comparison, run=run, features=str(data.features))


def chance_row(split: Split) -> Row:
    expected = chance((split.labelled.pairs.label == 1).astype(int))
    return Row("chance", "reference", split.name, 1, NAN, {name: Figure(value) for name, value in expected.items()}, {})


def has_both_labels(split: Split) -> bool:
    return {0, 1} <= set(np.unique(split.pairs.label).tolist())


def sizes(data: Data) -> list[SplitSize]:
    """Return what train, dev and test splits hold, and how much of the latter stands in train."""
    found = [size(data.train)]
    for split in (data.dev, *data.tests):
        shared = held_by_train(split, data.train)
        shared["any"] = np.any(list(shared.values()), axis=0)
        found.append(replace(size(split), in_train={what: int(mask.sum()) for what, mask in shared.items()}))
    return found


def size(split: Split) -> SplitSize:
    labelled = split.labelled
    texts, groups = (int(each.max(initial=-1)) + 1 for each in (labelled.text_group, labelled.group))
    positive = int((labelled.pairs.label == 1).sum())
    return SplitSize(split.name, len(split), len(labelled), positive, texts, digest([split]), groups)


def without_seed(trained: Trained) -> dict[str, object]:
    return {key: value for key, value in trained.settings[0].items() if key != "seed"}
