"""A sweep's trials ranked by dev AUC-ROC, as a table, and what it chose. Made from records alone."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.search.trials import Trial
from experiments.tables import Table, bare, markdown, signed

SHOWN = 20  # rows of the table


@dataclass(frozen=True)
class Candidate:
    """A head with its encoders and settings, over all its seeds."""

    head: str
    text_encoder: str  # empty where the head does not look at texts
    image_encoder: str
    settings: dict[str, Any]
    auc: tuple[float, ...]  # on dev, one per seed

    @property
    def mean(self) -> float:
        return statistics.fmean(self.auc)

    @property
    def sd(self) -> float:
        """Over seeds; NaN for a single one."""
        return statistics.stdev(self.auc) if len(self.auc) > 1 else math.nan

    @property
    def encoders(self) -> tuple[str, ...]:
        return tuple(name for name in (self.text_encoder, self.image_encoder) if name)

    @property
    def score(self) -> str:
        return bare(self.mean) + ("" if math.isnan(self.sd) else f"±{bare(self.sd)}")


def rank(trials: Sequence[Trial]) -> list[Candidate]:
    """Candidates, best mean first. Equal ones stand in the order of the trials given."""
    grouped: dict[str, list[Trial]] = {}
    for trial in trials:
        grouped.setdefault(trial.configuration, []).append(trial)
    found = [
        Candidate(one.head, one.text_encoder, one.image_encoder, one.settings, tuple(each.dev_auc for each in members))
        for members in grouped.values()
        for one in members[:1]
    ]
    return sorted(found, key=lambda candidate: math.inf if math.isnan(candidate.mean) else -candidate.mean)


def best_of_each(ranked: Sequence[Candidate]) -> dict[str, Candidate]:
    """The first of each head."""
    found: dict[str, Candidate] = {}
    for candidate in ranked:
        found.setdefault(candidate.head, candidate)
    return found


def chosen(ranked: Sequence[Candidate]) -> dict[str, Any]:
    """What `compare --from-sweep` reads: one pair of encoders, and each head's best settings on that pair.

    All heads of a comparison share their encoders, so the pair is that of the best fusion; without a fusion in the
    sweep, each side is that of its own best head. What that leaves behind stands in "notes".
    """
    leaders = [candidate for candidate in ranked if len(candidate.encoders) == 2][:1] or ranked
    text = next((candidate.text_encoder for candidate in leaders if candidate.text_encoder), None)
    image = next((candidate.image_encoder for candidate in leaders if candidate.image_encoder), None)
    on_pair = [candidate for candidate in ranked if set(candidate.encoders) <= {text, image}]
    heads = {head: candidate.settings for head, candidate in best_of_each(on_pair).items()}
    return {"text_encoder": text, "image_encoder": image, "heads": heads, "notes": left_behind(ranked, on_pair)}


def left_behind(ranked: Sequence[Candidate], on_pair: Sequence[Candidate]) -> list[str]:
    """Which single modality on other encoders beats those on the chosen pair: compare holds a fusion to the latter."""
    best, here = (next((each for each in some if len(each.encoders) == 1), None) for some in (ranked, on_pair))
    if best is None or here is None or not best.mean > here.mean:
        return []
    fusion = next((each for each in ranked if len(each.encoders) == 2), None)
    level = f", and is not beaten by any fusion ({fusion.score})" if fusion and fusion.mean <= best.mean else ""
    return [
        f"On dev, {best.head} on {best.encoders[0]} ({best.score}) beats {here.head} on {here.encoders[0]} "
        f"({here.score}), the better single modality on the chosen encoders{level}: a fusion's gain over the latter "
        "need not be one over the former."
    ]


def auc_error(auc: float, positive: int, negative: int) -> float:
    """Standard error of an AUC-ROC over memes (Hanley & McNeil 1982, from exponential scores)."""
    both_above, both_below = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (both_above - auc**2) + (negative - 1) * (both_below - auc**2)
    return math.sqrt(max(spread, 0.0) / (positive * negative))


def page(
    ranked: Sequence[Candidate], trials: Sequence[Trial], others: int, recipe: dict[str, Any], scoring: str
) -> str:
    """sweep.md.

    others: configurations in the record that this sweep did not ask for; recipe: the shipped settings; scoring: the
    command that scores the choice on test.
    """
    seeds = len(ranked[0].auc)
    first = trials[0]
    lines = [
        f"# Sweep: {len(ranked):,} configurations x {seeds} seed{'s' * (seeds > 1)}, ranked by dev AUC-ROC",
        f"{first.dev_memes:,} memes in dev, {first.dev_positive:,} of them with label 1. No test row was read.",
        markdown(best_table(ranked, recipe)),
        markdown(table(ranked)),
        "\n".join(reading(ranked, trials, others, scoring)),
    ]
    return "\n\n".join(lines) + "\n"


def reading(ranked: Sequence[Candidate], trials: Sequence[Trial], others: int, scoring: str) -> list[str]:
    """How far the ranking can be trusted, in sentences."""
    best, of = ranked[0].mean, trials[0]
    error = auc_error(best, of.dev_positive, of.dev_memes - of.dev_positive)
    within = sum(candidate.mean >= best - error for candidate in ranked)
    tried = f"{len(ranked):,} configurations were tried"
    tried += f", and {others:,} more in the same record by other sweeps." if others else "."
    return [
        "Figures are means ± standard deviation over seeds.",
        tried,
        "The best of many dev scores is optimistic: part of its lead is luck with these memes.",
        f"The best one's standard error over memes is {bare(error)} (Hanley & McNeil 1982); {within:,} configurations",
        "lie within that of it, and this dev split cannot tell them apart.",
        *several_versions(trials),
        *chosen(ranked)["notes"],
        f"What the choice is worth only test can say, and only once: `{scoring}`.",
    ]


def several_versions(trials: Sequence[Trial]) -> list[str]:
    """A sweep that goes on after the code has changed keeps what the older code scored."""
    codes = list(dict.fromkeys(trial.code for trial in trials))
    if len(codes) < 2:
        return []
    return [
        f"Runs of {len(codes)} versions of memefuse ({', '.join(codes)}) are ranked together: if training differs "
        "between them, so do these scores. Another --out trains all of them anew."
    ]


def table(ranked: Sequence[Candidate], shown: int = SHOWN) -> Table:
    """The best candidates, with the settings that differ anywhere in the sweep."""
    names = swept(ranked)
    rows = [
        [str(place), each.head, " + ".join(each.encoders), each.score, *(_word(each.settings[name]) for name in names)]
        for place, each in enumerate(ranked[:shown], start=1)
    ]
    title = f"The best {len(rows):,} of {len(ranked):,}"
    return Table(title, ["rank", "head", "encoders", "dev AUC-ROC", *names], rows)


def best_table(ranked: Sequence[Candidate], recipe: dict[str, Any]) -> Table:
    """Each head's best, beside the shipped recipe on the same encoders where it was tried too."""
    names = swept(ranked)
    rows = []
    for head, best in best_of_each(ranked).items():
        same = [each for each in ranked if (each.head, each.encoders) == (head, best.encoders)]
        shipped = next((each for each in same if each.settings == recipe), None)
        against = ["not tried", ""] if shipped is None else [shipped.score, signed(best.mean - shipped.mean)]
        settings = (_word(best.settings[name]) for name in names)
        tried = sum(each.head == head for each in ranked)
        rows.append([head, f"{tried:,}", " + ".join(best.encoders), best.score, *against, *settings])
    header = ["head", "tried", "encoders", "best dev AUC-ROC", "shipped recipe", "gain", *names]
    return Table("The best of each head", header, rows)


def swept(ranked: Sequence[Candidate]) -> list[str]:
    """Settings that take more than one value."""
    return [name for name in ranked[0].settings if len({each.settings[name] for each in ranked}) > 1]


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
