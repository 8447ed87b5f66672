"""Paired tests on the same memes: lab's fusions against its better single head, systems against memefuse's heads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.evaluate import statistics, tests
from experiments.evaluate.scores import Scores, statistic
from experiments.results.records import Pair
from experiments.systems import scored
from experiments.systems.published import SYSTEMS
from experiments.systems.results import Result, folder
from experiments.systems.sections import Section, best_head
from experiments.tables import Table, bare, difference, probability, signed


def pairs(section: Section, out: Path) -> list[Pair]:
    """Of the first test split, or of dev where there is none; Holm-corrected over the section's pairs of a measure."""
    found = []
    for result in section.results:
        found += fusions(section, result, out) + against_own(section, result, out)
    return tests.corrected(found)


def fusions(section: Section, result: Result, out: Path) -> list[Pair]:
    """Of stage 2's heads, each fusion against the single modality that is better on dev."""
    heads = SYSTEMS[result.system].heads
    if not heads:
        return []
    scores, group = scored.read(folder(out, result), section.judged)
    named = {head: f"{result.system} {head}" for head in heads}
    single = best_head(result, [named[head] for head in tests.SINGLE])
    others = [named[head] for head in heads if head not in tests.SINGLE]
    found = []
    for fusion in others:
        found += both(called(section, result, scores[fusion]), called(section, result, scores[single]), group)
    return found


def against_own(section: Section, result: Result, out: Path) -> list[Pair]:
    """A system against memefuse's heads on its encoders, of each the head that is best on dev."""
    own = section.own_beside(result)
    if own is None:
        return []
    mine, group = scored.read(folder(out, result), section.judged)
    theirs, _ = scored.read(folder(out, own), section.judged)
    system = called(section, result, mine[best_head(result)])
    return both(system, called(section, own, theirs[best_head(own)]), group)


def called(section: Section, result: Result, scores: Scores) -> Scores:
    """Under the name that the tables give it."""
    return replace(scores, name=section.label(result, scores.name))


def both(one: Scores, other: Scores, group: np.ndarray) -> list[Pair]:
    """By AUC-ROC and by accuracy; p-values not yet corrected. None where a training diverged."""
    if any(each.logit.isnan().any() for each in (one, other)):
        return []
    draws = statistics.bootstrap(group, {each.name: statistic(each) for each in (one, other)})
    return [tests.by_auc_roc(one, other, group, draws), tests.by_accuracy(one, other, draws)]


def table(found: Sequence[Pair]) -> Table:
    header = ["", "against", "measure", "reached", "against it", "difference", "95%", "p", "p (Holm)", "shows"]
    rows = [
        [
            pair.head,
            pair.against,
            tests.MEASURES[pair.measure],
            bare(pair.of_head),
            bare(pair.of_against),
            signed(pair.difference),
            f"[{signed(pair.low)}, {signed(pair.high)}]",
            probability(pair.p),
            probability(pair.p_holm),
            tests.conclusion(pair),
        ]
        for pair in found
    ]
    return Table("", header, rows)


def sentences(found: Sequence[Pair]) -> list[str]:
    """One for each pair's AUC-ROC."""
    return [
        f"{pair.head} vs {pair.against}, {pair.split} AUC-ROC: {difference(pair)}, "
        f"Holm's p {probability(pair.p_holm)}: {tests.conclusion(pair)}."
        for pair in found
        if pair.measure == "auc_roc"
    ]
