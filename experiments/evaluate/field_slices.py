"""Who is hurt: a head's figures on the memes of each value of a column of the manifest, and the largest gap tested.

Of the runs' mean probability, at the threshold that predict uses. Values are looked at after the fact, but the test of
a gap counts that the largest of them was picked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from experiments.data import Data, column
from experiments.evaluate import delong, intervals, resampling, tests
from experiments.evaluate.operating_points import Judged, judged, threshold
from experiments.evaluate.scores import ranking, weighted_areas
from experiments.results.folder import Results
from experiments.results.records import NAN, Figure
from extract.errors import Refused, printable

NO_VALUE = "(no value)"
MOST_VALUES = 24
RATES = ("miss_rate", "false_alarm_rate")


@dataclass(frozen=True)
class FieldSlice:
    """A head on the memes that have one value in a column; of several values, a meme is in each one's slice."""

    head: str
    split: str
    value: str
    memes: int
    positive: int  # memes of label 1
    figures: dict[str, Figure]  # auc_roc, miss_rate (of label 1) and false_alarm_rate (of label 0)


@dataclass(frozen=True)
class Gap:
    """The largest difference of a rate between two values of a column."""

    head: str
    split: str
    rate: str  # of RATES
    highest: str  # value
    lowest: str
    difference: float
    low: float  # its 95% interval
    high: float
    p: float  # how often values dealt out by lot make as large a gap somewhere
    p_holm: float = NAN  # corrected over the head's gaps


@dataclass(frozen=True)
class FieldSlices:
    """All that slices_by_<field>.json holds."""

    run: str  # of the comparison
    field: str
    memes: dict[str, int]  # with a label, by split
    without: dict[str, int]  # that have no value
    slices: list[FieldSlice]
    gaps: list[Gap]


def field_slices(results: Results, data: Data, field: str) -> FieldSlices:
    """Cut the judged splits by a column, for every head. Raises Refused as `masks` does."""
    memes, without, slices, gaps = dict[str, int](), dict[str, int](), list[FieldSlice](), list[Gap]()
    of_splits = masks(data, field)
    for split in (each for each in data.splits if each.name in results.comparison.judged):
        labelled = results.predicted[split.name].labelled
        cuts = {value: mask[labelled] for value, mask in of_splits[split.name].items() if mask[labelled].any()}
        memes[split.name] = int(labelled.sum())
        without[split.name] = int(cuts[NO_VALUE].sum()) if NO_VALUE in cuts else 0
        for head in results.heads:
            scores = judged(results, head, split.name, split.labelled.group)
            wrong = (scores.probability >= threshold(results, head)) != scores.positive
            of_head = cut(head, split.name, scores, wrong, cuts)
            slices += of_head
            gaps += widest(of_head, scores, wrong, cuts)
    return FieldSlices(results.comparison.run, field, memes, without, slices, corrected(gaps))


def corrected(gaps: Sequence[Gap]) -> list[Gap]:
    """Apply Holm's correction among each head's gaps, of both rates and all splits."""
    heads = dict.fromkeys(gap.head for gap in gaps)
    return [gap for head in heads for gap in tests.with_holm([gap for gap in gaps if gap.head == head])]


def masks(data: Data, field: str) -> dict[str, dict[str, Bool[np.ndarray, " meme"]]]:
    """Return by split which memes have each value of a column, those without any last; of a list, each entry is one.

    Raises Refused for a column that no meme has, or that has more than MOST_VALUES.
    """
    by_split = {}
    for split, values in column(data, field).items():
        words = [
            {said(each) for each in (value if isinstance(value, list) else [value])} or {NO_VALUE} for value in values
        ]
        names = sorted(set().union(*words), key=lambda name: (name == NO_VALUE, name))
        if len(names) > MOST_VALUES:
            raise Refused(
                f"the column {field} has {len(names):,} values in {split}; slices need one with at most {MOST_VALUES}"
            )
        by_split[split] = {name: np.array([name in each for each in words], dtype=bool) for name in names}
    return by_split


def said(value: Any) -> str:
    """Return a value as one line in which nothing is hidden."""
    return NO_VALUE if value is None else printable(" ".join(str(value).split())) or NO_VALUE


def cut(
    head: str, split: str, scores: Judged, wrong: Bool[np.ndarray, " meme"], masks: Mapping[str, np.ndarray]
) -> list[FieldSlice]:
    """Return a head's figures on every slice, with intervals over groups of memes unless these are few."""

    def recompute(weight: resampling.Weights) -> dict[str, resampling.Draws]:
        draws = {}
        for name, mask in masks.items():
            its, positive = weight[mask], scores.positive[mask]
            draws[f"auc_roc {name}"] = weighted_areas(ranking(scores.probability[mask], positive), its)[0]
            for rate, label in zip(RATES, (positive, ~positive), strict=True):
                with np.errstate(divide="ignore", invalid="ignore"):
                    draws[f"{rate} {name}"] = its[wrong[mask] & label].sum(axis=0) / its[label].sum(axis=0)
        return draws

    draws = resampling.bootstrap(scores.group, {"": recompute})[""]
    field_slices = []
    for name, mask in masks.items():
        up, down = mask & scores.positive, mask & ~scores.positive
        area = NAN
        if up.any() and down.any():
            area = float(delong.placements(scores.probability[mask], scores.positive[mask])[0].mean())
        values = {
            "auc_roc": (area, [up, down]),
            "miss_rate": (float(wrong[up].mean()) if up.any() else NAN, [up]),
            "false_alarm_rate": (float(wrong[down].mean()) if down.any() else NAN, [down]),
        }
        figures = {}
        for what, (mean, labels) in values.items():
            groups, variance = [scores.group[of] for of in labels], resampling.variance(draws[f"{what} {name}"])
            count = len(np.unique(np.concatenate(groups)))
            ends = (NAN, NAN) if resampling.few(*groups) else intervals.score_interval(mean, variance, count)
            figures[what] = Figure(mean, NAN, *ends, undefined=int(np.isnan(mean)))
        field_slices.append(FieldSlice(head, split, name, int(mask.sum()), int(up.sum()), figures))
    return field_slices


def widest(
    slices: Sequence[FieldSlice], scores: Judged, wrong: Bool[np.ndarray, " meme"], masks: Mapping[str, np.ndarray]
) -> list[Gap]:
    """Return the largest gap of either rate among values with enough memes of its label; none where there are not two.

    Tested by permutation: the values of whole groups of memes are dealt out anew among groups that hold the same labels
    (so that a value may well have more of one label), and the largest gap among all values is compared with that seen.
    Its interval is Newcombe's 1998, of the two rates' own.
    """
    gaps = []
    for rate, label in zip(RATES, (scores.positive, ~scores.positive), strict=True):
        rates = {
            each.value: each.figures[rate]
            for each in slices
            if each.value != NO_VALUE and np.isfinite(each.figures[rate].low)
        }
        if len(rates) < 2:
            continue
        ordered = sorted(rates, key=lambda name: rates[name].mean)
        lowest, highest = ordered[0], ordered[-1]
        one, other = rates[highest], rates[lowest]
        seen = one.mean - other.mean
        held = np.stack([masks[name] for name in rates])
        as_large = 0
        for dealt in deals(scores, resampling.RESAMPLES):
            its = held[:, dealt] & label  # [value, draw, meme]
            with np.errstate(divide="ignore", invalid="ignore"):
                by_lot = (its & wrong).sum(axis=2) / its.sum(axis=2)
            spread = np.nanmax(by_lot, axis=0) - np.nanmin(by_lot, axis=0)
            as_large += int((spread >= seen - intervals.ROUNDING).sum())
        ends = intervals.joined((one.mean, one.low, one.high), (other.mean, other.low, other.high))
        p = (as_large + 1) / (resampling.RESAMPLES + 1)
        gaps.append(Gap(slices[0].head, slices[0].split, rate, highest, lowest, seen, *ends, p))
    return gaps


def deals(scores: Judged, draws: int) -> Iterator[Int[np.ndarray, "draw meme"]]:
    """Yield, some draws at a time, whose value each meme takes: one of the same label, its group's as a whole."""
    order = np.lexsort((scores.positive, scores.group))
    alike: dict[tuple[bool, ...], list[np.ndarray]] = {}
    for members in np.split(order, np.flatnonzero(np.diff(scores.group[order])) + 1):
        alike.setdefault(tuple(scores.positive[members].tolist()), []).append(members)
    generator, at_once = np.random.default_rng(0), max(1, resampling.CHUNK // len(order))
    for start in range(0, draws, at_once):
        dealt = np.empty((min(at_once, draws - start), len(order)), dtype=np.int32)
        for groups in map(np.stack, alike.values()):  # [group, member]
            lot = generator.permuted(np.tile(np.arange(len(groups)), (len(dealt), 1)), axis=1)
            dealt[:, groups.ravel()] = groups[lot].reshape(len(dealt), -1)
        yield dealt
