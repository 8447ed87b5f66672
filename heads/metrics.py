"""Scores of binary classifiers, for all runs at once: [run, n] in, [run] out, float64.

A metric that is undefined (one class only; no meme called hateful; a score that is no number, as of a training that
diverged) is nan, never a number. Where it is defined it is what scikit-learn gives with `zero_division=nan`.

To add a metric: one entry in METRICS. Those made of counts get intervals from the bootstrap, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


class Counts(NamedTuple):
    """Memes by label and by what they are called, of any shape: torch, NumPy, or plain numbers."""

    hits: Any  # label 1, called 1
    false_alarms: Any  # label 0, called 1
    misses: Any  # label 1, called 0
    rest: Any  # label 0, called 0


@dataclass(frozen=True)
class Metric:
    """What people call a metric, how it is computed, and why it can be undefined."""

    title: str
    of_counts: Callable[[Counts], Any] | None = None  # for decisions at a threshold; floats in, 0 / 0 is nan
    of_scores: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None  # else: logits, probabilities, labels -> [run]
    undefined: str = ""  # because ...


def _f1(hits: Any, false_alarms: Any, misses: Any) -> Any:
    return 2 * hits / (2 * hits + false_alarms + misses)


def _ratio(above: Tensor, below: Tensor) -> Float[Tensor, "*shape"]:
    """above / below in float64; nan where below is 0."""
    return torch.where(below == 0, torch.nan, above.double() / below.double())


def _where_numbers(value: Float[Tensor, " run"], score: Shaped[Tensor, "run n"]) -> Float[Tensor, " run"]:
    """nan for a run that has a score which is no number: it would be sorted as if it were the highest."""
    return value.masked_fill(score.isnan().any(dim=1), torch.nan)


def auc_roc(score: Shaped[Tensor, "run n"], label: Int[Tensor, " n"]) -> Float[Tensor, " run"]:
    """The chance that a hateful meme scores above another one, ties counting one half (Mann-Whitney U, 1947).

    nan if only one class is present.
    """
    ordered = score.sort(dim=1).values
    below = torch.searchsorted(ordered, score.contiguous())
    up_to = torch.searchsorted(ordered, score.contiguous(), right=True)
    positive = label.bool()
    positives = positive.sum()
    # A tie's average rank is (below + up_to + 1) / 2; doubled, all is counted in whole numbers.
    doubled_ranks = (below + up_to + 1)[:, positive].sum(dim=1)
    doubled_wins = doubled_ranks - positives * (positives + 1)
    return _where_numbers(_ratio(doubled_wins, 2 * positives * (~positive).sum()), score)


def average_precision(score: Shaped[Tensor, "run n"], label: Int[Tensor, " n"]) -> Float[Tensor, " run"]:
    """Area under the precision-recall steps: the mean, over hateful memes, of the precision at their score.

    nan if no meme is hateful.
    """
    ordered, order = score.sort(dim=1)
    hits_below = torch.cat([label.new_zeros(len(score), 1), label[order].cumsum(dim=1)], dim=1)
    first = torch.searchsorted(ordered, ordered)  # memes of equal score enter together
    hits = hits_below[:, -1:] - hits_below.gather(1, first)
    precision = hits.double() / (score.shape[1] - first)
    return _where_numbers(_ratio((precision * label[order]).sum(dim=1), label.sum()), score)


def expected_calibration_error(
    probability: Float[Tensor, "run n"], label: Int[Tensor, " n"], bins: int = 15
) -> Float[Tensor, " run"]:
    """Mean gap between the predicted probability of hatefulness and its frequency, over bins of equal width.

    Naeini et al. (2015) in the binary form: bins of the positive class' probability, weighted by the memes they hold.
    """
    bin_of = (probability * bins).long().clamp(0, bins - 1)
    gap = torch.zeros(len(probability), bins, dtype=torch.float64, device=probability.device)
    gap.scatter_add_(1, bin_of, probability.double() - label.double())
    return gap.abs().sum(dim=1) / probability.shape[1]


def brier(probability: Float[Tensor, "run n"], label: Int[Tensor, " n"]) -> Float[Tensor, " run"]:
    """Mean squared gap between probability and label (Brier 1950)."""
    return (probability.double() - label.double()).square().mean(dim=1)


def confusion(predicted: Bool[Tensor, "run n"], label: Int[Tensor, " n"]) -> Counts:
    """Count each run's hits, false alarms, misses and the rest, [run] each."""
    positive = label.bool()
    hits = (predicted & positive).sum(dim=1)
    false_alarms = (predicted & ~positive).sum(dim=1)
    misses = positive.sum() - hits
    return Counts(hits, false_alarms, misses, label.shape[0] - hits - false_alarms - misses)


# In the order of tables.
METRICS = {
    "auc_roc": Metric(
        "AUC-ROC",
        of_scores=lambda logit, probability, label: auc_roc(logit, label),
        undefined="the split holds one class only",
    ),
    "average_precision": Metric(
        "AP",
        of_scores=lambda logit, probability, label: average_precision(logit, label),
        undefined="no meme has label 1",
    ),
    "accuracy": Metric("accuracy", lambda of: (of.hits + of.rest) / (of.hits + of.false_alarms + of.misses + of.rest)),
    "precision": Metric(
        "precision", lambda of: of.hits / (of.hits + of.false_alarms), undefined="no meme was given label 1"
    ),
    "recall": Metric("recall", lambda of: of.hits / (of.hits + of.misses), undefined="no meme has label 1"),
    "f1": Metric(
        "F1",
        lambda of: _f1(of.hits, of.false_alarms, of.misses),
        undefined="no meme has label 1 or was given it",
    ),
    "macro_f1": Metric(
        "macro-F1",
        lambda of: (_f1(of.hits, of.false_alarms, of.misses) + _f1(of.rest, of.misses, of.false_alarms)) / 2,
        undefined="one of the labels neither occurs nor was given",
    ),
    "ece": Metric("ECE", of_scores=lambda logit, probability, label: expected_calibration_error(probability, label)),
    "brier": Metric("Brier", of_scores=lambda logit, probability, label: brier(probability, label)),
}
DECISIONS = tuple(name for name, metric in METRICS.items() if metric.of_counts)  # these depend on a threshold


def probabilities(
    logit: Float[Tensor, "run n"], temperature: Float[Tensor, " run"] | None = None
) -> Float[Tensor, "run n"]:
    """Probability of being hateful, float64; `temperature` as `fit_temperature` gives it."""
    logit = logit.double()
    return torch.sigmoid(logit if temperature is None else logit / temperature[:, None])


def called(
    logit: Float[Tensor, "run n"],
    threshold: Float[Tensor, " run"] | float = 0.5,
    temperature: Float[Tensor, " run"] | None = None,
) -> Bool[Tensor, "run n"]:
    """Return whether each meme's probability reaches `threshold` (one, or one per run)."""
    limit = threshold[:, None] if isinstance(threshold, Tensor) else threshold
    return probabilities(logit, temperature) >= limit


def evaluate(
    logit: Float[Tensor, "run n"],
    label: Int[Tensor, " n"],
    threshold: Float[Tensor, " run"] | float = 0.5,
    temperature: Float[Tensor, " run"] | None = None,
) -> dict[str, Float[Tensor, " run"]]:
    """Compute every metric of METRICS. A meme is called hateful if its probability reaches `threshold`.

    Raises ValueError if a label is neither 0 nor 1, or there is no row.
    """
    check_labels(label)
    probability = probabilities(logit, temperature)
    counts = confusion(called(logit, threshold, temperature), label)
    floats = Counts(*(count.double() for count in counts))
    values = {}
    for name, metric in METRICS.items():
        if metric.of_counts:
            values[name] = _where_numbers(metric.of_counts(floats), logit)
        elif metric.of_scores:
            values[name] = metric.of_scores(logit, probability, label)
    return values


def check_labels(label: Int[Tensor, " n"]) -> None:
    """Raise ValueError unless there is a row and every label is 0 or 1."""
    if not label.numel():
        raise ValueError("no rows to score")
    wrong = int(((label != 0) & (label != 1)).sum())
    if wrong:
        raise ValueError(f"{wrong:,} of {label.numel():,} labels are neither 0 nor 1 (-1 stands for no label)")


def best_threshold(
    logit: Float[Tensor, "run n"],
    label: Int[Tensor, " n"],
    temperature: Float[Tensor, " run"] | None = None,
) -> Float[Tensor, " run"]:
    """The probability threshold with the highest macro-F1 on these rows (give it dev), per run.

    Macro-F1, because plain F1 is highest where everything is called hateful as long as a head knows nothing. Thresholds
    lie halfway between neighbouring scores, 0 and 1 included; among equally good ones the nearest to 0.5 wins.
    """
    check_labels(label)
    probability = probabilities(logit, temperature)
    ordered, order = probability.sort(dim=1)
    half = torch.full_like(ordered[:, :1], 0.5)
    edges = torch.cat([torch.zeros_like(half), ordered, torch.ones_like(half)], dim=1)
    candidates = torch.cat([half, (edges[:, 1:] + edges[:, :-1]) / 2], dim=1)
    hits_below = torch.cat([label.new_zeros(len(order), 1), label[order].cumsum(dim=1)], dim=1)
    below = torch.searchsorted(ordered, candidates)  # memes called harmless at each candidate
    missed = hits_below.gather(1, below)
    positives = label.sum()
    hits, rest = positives - missed, below - missed
    wrong = missed + (label.shape[0] - below - hits)
    f1s = _ratio(2 * hits, 2 * hits + wrong), _ratio(2 * rest, 2 * rest + wrong)
    macro = f1s[0].nan_to_num(0.0) + f1s[1].nan_to_num(0.0)  # a class that is neither there nor called counts 0
    best = macro >= macro.max(dim=1, keepdim=True).values - 1e-12
    distance = torch.where(best, (candidates - 0.5).abs(), torch.inf)
    return candidates.gather(1, distance.argmin(dim=1, keepdim=True)).squeeze(1)


def fit_temperature(logit: Float[Tensor, "run n"], label: Int[Tensor, " n"]) -> Float[Tensor, " run"]:
    """The temperature that logits are divided by for the lowest log loss on these rows (give it dev), per run.

    Guo et al. (2017). The loss is convex in 1/temperature: its slope's zero is found by bisection in [1/1000, 1000],
    whose ends are returned where the loss falls for ever (a separable dev split, or one ranked backwards).
    """
    check_labels(label)
    logit, target = logit.double(), label.double()
    low = torch.full_like(logit[:, 0], -6.907755278982137)  # log(1/1000)
    high = -low
    for _ in range(60):
        middle = (low + high) / 2
        slope = ((torch.sigmoid(logit * middle.exp()[:, None]) - target) * logit).sum(dim=1)
        falling = slope <= 0  # 0 where every meme is so sure that float64 sees no slope: the loss is still falling
        low, high = torch.where(falling, middle, low), torch.where(falling, high, middle)
    return (-(low + high) / 2).exp()
