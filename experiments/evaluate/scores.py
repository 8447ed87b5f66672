"""From a head's logits to its figures: metrics of every run, their mean, spread and interval over memes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.evaluate import delong, intervals, resampling
from experiments.results.records import NAN, Figure, Record, Row
from experiments.training import Trained
from extract.store import NO_LABEL
from heads.metrics import DECISIONS, METRICS, Counts, best_threshold, called, confusion, evaluate, probabilities

TUNED = "tuned_"  # prefix of a decision's draws at the threshold tuned on dev
OF_LABEL_1 = {"average_precision", "precision", "recall", "f1"}  # these are of the memes of label 1, or so called
MEAN_ACCURACY = "mean_accuracy"  # draws of the accuracy of the runs' mean probability, at 0.5
STEP = 16  # rows added up one after the other


@dataclass(frozen=True)
class Ranking:
    """A run's memes from the highest score to the lowest: all that AUC-ROC and average precision depend on."""

    positive: Int[np.ndarray, " positive"]  # the memes of label 1, the highest first
    negative: Int[np.ndarray, " negative"]  # the others
    found: Int[np.ndarray, " positive"]  # for each positive, how many positives score as high or higher
    above: Int[np.ndarray, " positive"]  # how many negatives score higher
    passed: Int[np.ndarray, " positive"]  # how many score as high or higher


@dataclass(frozen=True)
class AtThreshold:
    """What every run comes to at one threshold."""

    metrics: dict[str, Float[np.ndarray, " run"]]
    counts: dict[str, Int[np.ndarray, " run"]]  # hits, false_alarms, misses, rest


@dataclass(frozen=True)
class Scores:
    """All runs of one head, or a reference, on one split's labelled memes."""

    name: str
    kind: str  # "head", "mean" or "reference"
    split: str
    logit: Float[Tensor, "run meme"]
    label: Int[np.ndarray, " meme"]  # 0 or 1
    threshold: Float[Tensor, " run"]  # probability, tuned on dev
    temperature: Float[Tensor, " run"]  # fitted on dev, or ones

    @classmethod
    def of(cls, trained: Trained, split: str, label: Int[np.ndarray, " meme"]) -> "Scores":
        """Return the logits on the memes of a split that have a label."""
        labelled = np.flatnonzero(label != NO_LABEL)
        logit = trained.logit[split][:, labelled]
        return cls(trained.name, trained.kind, split, logit, label[labelled], trained.threshold, trained.temperature)

    @property
    def positive(self) -> Bool[np.ndarray, " meme"]:
        return self.label == 1

    @property
    def probability(self) -> Float[np.ndarray, "run meme"]:
        return probabilities(self.logit, self.temperature).numpy()

    @property
    def right(self) -> Bool[np.ndarray, " meme"]:
        """Return whether the runs' mean probability falls on the label's side of 0.5."""
        return (self.probability.mean(axis=0) >= 0.5) == self.positive

    def mean_of_runs(self, threshold: float) -> "Scores":
        """Return the runs' mean probability, which predict takes, as scores of a single run; threshold: its own."""
        # as sure as float64 can say: an infinite logit could not be compared with another
        logit = torch.logit(torch.from_numpy(self.probability).mean(dim=0, keepdim=True), eps=2**-53)
        one = torch.ones(1, dtype=torch.float64)
        name = f"{self.name}, mean of {len(self.logit)} runs"
        return Scores(name, "mean", self.split, logit, self.label, threshold * one, one)

    def only(self, memes: Int[np.ndarray, " some"], split: str) -> "Scores":
        """Return the scores of these memes, as a split of that name."""
        return replace(self, split=split, logit=self.logit[:, memes], label=self.label[memes])

    def metrics(self, threshold: Float[Tensor, " run"] | float) -> dict[str, Float[np.ndarray, " run"]]:
        """Compute every metric of every run; NaN where it is undefined."""
        values = evaluate(self.logit, self._labels, threshold, self.temperature)
        return {name: value.numpy() for name, value in values.items()}

    def at(self, threshold: Float[Tensor, " run"] | float) -> "AtThreshold":
        """Compute metrics and count decisions of every run; empty where no meme has a label."""
        if not len(self.label):
            return AtThreshold({}, {})
        counts = confusion(called(self.logit, threshold, self.temperature), self._labels)
        return AtThreshold(self.metrics(threshold), {name: values.numpy() for name, values in counts._asdict().items()})

    @property
    def _labels(self) -> Int[Tensor, " meme"]:
        return torch.from_numpy(self.label.astype(np.int64))


def records(
    trained: Sequence[Trained],
    labels: Mapping[str, Int[np.ndarray, " meme"]],
    features: dict[str, str],
    code: str,
    run: str = "",
) -> list[Record]:
    """Return a record for each run on each split of `labels`; without metrics where the split has no labels.

    features: the encoders' fingerprints by name. code: memefuse's version. run: names their comparison.
    """
    rows = []
    for each in trained:
        for split, label in labels.items():
            scores = Scores.of(each, split, label)
            half, tuned = scores.at(0.5), scores.at(scores.threshold)
            for number, settings in enumerate(each.settings):
                rows.append(
                    Record(
                        head=each.name,
                        kind=each.kind,
                        seed=settings.get("seed", 0),
                        split=split,
                        memes=len(scores.label),
                        settings=settings,
                        best_epoch=each.best_epoch[number],
                        threshold=float(each.threshold[number]),
                        temperature=float(each.temperature[number]),
                        metrics={name: float(values[number]) for name, values in half.metrics.items()},
                        tuned={name: float(values[number]) for name, values in tuned.metrics.items()},
                        counts={name: int(values[number]) for name, values in half.counts.items()},
                        tuned_counts={name: int(values[number]) for name, values in tuned.counts.items()},
                        features=features,
                        code=code,
                        seconds=round(each.seconds, 3),
                        run=run,
                    )
                )
    return rows


def mean_threshold(trained: Trained, dev: str, label: Int[np.ndarray, " meme"]) -> float:
    """Return the threshold of the runs' mean probability, tuned on dev as each run's own is."""
    mean = probabilities(trained.logit[dev], trained.temperature).mean(dim=0, keepdim=True)
    return best_threshold(torch.logit(mean), torch.from_numpy(label.astype(np.int64))).item()


def statistic(scores: Scores) -> resampling.Statistic:
    """Return what the bootstrap recomputes on each resample: means over runs, all metrics but the calibration error.

    ECE is left out: resampling memes adds noise to every bin, and so would only ever raise it.
    """
    probability, positive = scores.probability, scores.positive
    rankings = [ranking(score, positive) for score in scores.logit.double().numpy()]
    decided = {"": probability >= 0.5, TUNED: probability >= scores.threshold.numpy()[:, None]}
    squared_gap = ((probability - positive) ** 2).mean(axis=0).astype(np.float32)
    right = scores.right.astype(np.float32)

    def recompute(weight: resampling.Weights) -> dict[str, resampling.Draws]:
        areas = np.mean([weighted_areas(ranked, weight) for ranked in rankings], axis=0)
        memes = weight.sum(axis=0)
        draws = {"auc_roc": areas[0], "average_precision": areas[1]}
        draws |= {"brier": squared_gap @ weight / memes, MEAN_ACCURACY: right @ weight / memes}
        for prefix, predicted in decided.items():
            for name, runs in weighted_decisions(predicted, positive, weight).items():
                draws[prefix + name] = runs.mean(axis=0)
        return draws

    return recompute


def ranking(score: Float[np.ndarray, " meme"], positive: Bool[np.ndarray, " meme"]) -> Ranking:
    order = np.argsort(-score, kind="stable")
    is_positive = positive[order]
    # equal scores are one step of the ranking, from its first position up to its end
    start = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    step = np.searchsorted(start, np.flatnonzero(is_positive), side="right") - 1
    first, end = start[step], np.append(start, len(order))[step + 1]
    before = np.append(0, np.cumsum(is_positive))  # positives before a position of `order`
    return Ranking(order[is_positive], order[~is_positive], before[end], first - before[first], end - before[end])


def weighted_areas(ranked: Ranking, weight: resampling.Weights) -> tuple[resampling.Draws, resampling.Draws]:
    """AUC-ROC (ties count one half) and average precision of each draw, memes counted as often as they were drawn.

    Both are sums over positives: of the negatives below, and of the precision down to the positive's step. Weights are
    whole numbers, and so exact in float32 whatever the order in which they are added.
    """
    positive = weight[ranked.positive]
    positives, negatives = running(weight, ranked.positive), running(weight, ranked.negative)
    found, passed = positives[ranked.found], negatives[ranked.passed]
    seen = np.maximum(found + passed, 1)
    if (ranked.above < ranked.passed).any():
        passed = (passed + negatives[ranked.above]) / 2
    every, others = positives[len(ranked.positive)], negatives[len(ranked.negative)]
    with np.errstate(divide="ignore", invalid="ignore"):
        wins = np.einsum("pd,pd->d", positive, np.subtract(others, passed, out=passed))
        precision = np.einsum("pd,pd->d", positive, np.divide(found, seen, out=seen))
        return wins / (every * others), precision / every


def running(weight: resampling.Weights, memes: Int[np.ndarray, " some"]) -> Float[np.ndarray, "position draw"]:
    """Sums of these memes' weights before each position, the end (and a few more, never meant) included.

    Added up within blocks of STEP rows, all blocks at once, and then over blocks: numpy's cumsum down columns goes
    through memory a column at a time, and takes three times as long.
    """
    blocks, draws = -(-len(memes) // STEP), weight.shape[1]
    sums = np.empty((1 + blocks * STEP, draws), weight.dtype)
    sums[0], sums[1 + len(memes) :] = 0, 0
    np.take(weight, memes, axis=0, out=sums[1 : 1 + len(memes)], mode="clip")  # any other mode copies twice
    block = sums[1:].reshape(blocks, STEP, draws)
    for row in range(1, STEP):
        block[:, row] += block[:, row - 1]
    block[1:] += np.cumsum(block[:-1, -1], axis=0)[:, None]
    return sums


def weighted_decisions(
    predicted: Bool[np.ndarray, "run meme"], positive: Bool[np.ndarray, " meme"], weight: resampling.Weights
) -> dict[str, Float[np.ndarray, "run draw"]]:
    """Compute the metrics of DECISIONS with memes counted `weight` times."""
    hits = (predicted & positive).astype(np.float32) @ weight
    said_one = predicted.astype(np.float32) @ weight
    positives, memes = positive.astype(np.float32) @ weight, weight.sum(axis=0)
    counts = Counts(hits, said_one - hits, positives - hits, memes - said_one - positives + hits)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: of_counts(counts) for name in DECISIONS if (of_counts := METRICS[name].of_counts)}


def row(scores: Scores, draws: dict[str, resampling.Draws], group: Int[np.ndarray, " meme"]) -> Row:
    """Return a head's line in the table. group: of each meme; of few of a label, AUC-ROC has no interval."""
    at_half, tuned = scores.metrics(0.5), scores.metrics(scores.threshold)
    groups, of_label_1 = len(np.unique(group)), len(np.unique(group[scores.positive]))
    if resampling.few(group[scores.positive], group[~scores.positive]):
        draws = {name: its for name, its in draws.items() if name != "auc_roc"}

    def most(name: str) -> int | float:
        """How many groups a metric is a share of, at the most."""
        if name == "auc_roc" and delong.constant(scores.logit):
            return np.inf
        return of_label_1 if name in OF_LABEL_1 else groups

    return Row(
        scores.name,
        scores.kind,
        scores.split,
        len(scores.logit),
        float(scores.threshold.mean()),
        {name: figure(runs, draws.get(name), most(name)) for name, runs in at_half.items()},
        {name: figure(tuned[name], draws.get(TUNED + name), most(name)) for name in DECISIONS},
    )


def figure(runs: Float[np.ndarray, " run"], draws: resampling.Draws | None, groups: int | float) -> Figure:
    """Return mean and spread over runs, and the interval over memes and seeds; undefined as a whole where any run is.

    draws: of the mean over resampled memes. groups: of memes that the figure is made of.
    """
    undefined = int(np.isnan(runs).sum())
    if undefined:
        return Figure(NAN, undefined=undefined)
    mean = float(np.mean(runs))
    # ddof=1: five seeds are a sample of seeds, not all of them
    sd = float(np.std(runs, ddof=1)) if len(runs) > 1 else NAN
    if draws is None:
        return Figure(mean, sd)
    variance = resampling.variance(draws) + delong.seeds_variance(runs)
    return Figure(mean, sd, *intervals.score_interval(mean, variance, groups))


def chance(label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Return what a fair coin is expected to score (and, for calibration, always saying one half).

    Decisions are of the counts that it is expected to make.
    """
    share = float(np.mean(label))
    expected = Counts(share / 2, (1 - share) / 2, share / 2, (1 - share) / 2)
    scored = {"auc_roc": 0.5, "average_precision": share, "ece": abs(share - 0.5), "brier": 0.25}
    with np.errstate(divide="ignore", invalid="ignore"):
        decided = {
            name: float(of_counts(Counts(*map(np.float64, expected))))
            for name in DECISIONS
            if (of_counts := METRICS[name].of_counts)
        }
    return {name: (scored | decided)[name] for name in METRICS if name in scored or name in decided}
