"""A sweep's trials ranked by dev AUC-ROC, and what is chosen of them: encoders and settings for a comparison.

The choice is a JSON file. It names encoders or heads; every key may be left out; settings not named keep their
defaults; notes say what the choice of encoders hides, and splits of which memes it is:

    {"text_encoder": "...", "image_encoder": "...", "heads": {"early": {"hidden": 512, "dropout": 0.3}}, "notes": []}
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from experiments.results.records import SplitSize, revive
from experiments.search.grid import KINDS
from experiments.search.trials import Trial
from extract.errors import Refused, listing, named
from heads.models import HEADS
from heads.settings import HeadSettings


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


def rank(trials: Sequence[Trial]) -> list[Candidate]:
    """Return candidates, best mean first. Equal ones stand in the order of the trials given."""
    grouped: dict[str, list[Trial]] = {}
    for trial in trials:
        grouped.setdefault(trial.configuration, []).append(trial)
    candidates = [
        Candidate(one.head, one.text_encoder, one.image_encoder, one.settings, tuple(each.dev_auc for each in members))
        for members in grouped.values()
        for one in members[:1]
    ]
    return sorted(candidates, key=lambda candidate: math.inf if math.isnan(candidate.mean) else -candidate.mean)


def best_of_each(ranked: Sequence[Candidate]) -> dict[str, Candidate]:
    """Return the first of each head."""
    best: dict[str, Candidate] = {}
    for candidate in ranked:
        best.setdefault(candidate.head, candidate)
    return best


def swept(ranked: Sequence[Candidate]) -> list[str]:
    """Return the settings that take more than one value."""
    values: dict[str, set[Any]] = {}
    for each in ranked:
        for name, value in each.settings.items():
            values.setdefault(name, set()).add(value)
    return [name for name, tried in values.items() if len(tried) > 1]


def auc_error(auc: float, positive: int, negative: int) -> float:
    """Return the standard error of an AUC-ROC over memes (Hanley & McNeil 1982, from exponential scores)."""
    both_above, both_below = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (both_above - auc**2) + (negative - 1) * (both_below - auc**2)
    return math.sqrt(max(spread, 0.0) / (positive * negative))


@dataclass(frozen=True)
class Choice:
    """Encoders (None: not chosen) and settings that differ from the defaults, by head."""

    text_encoder: str | None = None
    image_encoder: str | None = None
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # sentences that hold on the chosen encoders
    splits: list[SplitSize] = field(default_factory=list)  # train and dev, as the sweep had them; older ones do not say


def choose(ranked: Sequence[Candidate]) -> tuple[Choice, list[Candidate]]:
    """Return one pair of encoders with each head's best settings on that pair, and the candidates on that pair.

    All heads of a comparison share their encoders, so the pair is that of the best fusion; without a fusion in the
    sweep, each side is that of its own best head.
    """
    leaders = [candidate for candidate in ranked if len(candidate.encoders) == 2][:1] or ranked
    text = next((candidate.text_encoder for candidate in leaders if candidate.text_encoder), None)
    image = next((candidate.image_encoder for candidate in leaders if candidate.image_encoder), None)
    on_pair = [candidate for candidate in ranked if set(candidate.encoders) <= {text, image}]
    heads = {head: candidate.settings for head, candidate in best_of_each(on_pair).items()}
    return Choice(text, image, heads), on_pair


def read_choice(path: Path) -> Choice:
    """Read what a sweep chose. Raises Refused, naming every fault, when the file cannot be meant."""
    hint = "Name the sweep.json that a sweep wrote to its --out."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if strange := sorted(content.keys() - {each.name for each in fields(Choice)}):
            raise ValueError(f"it has {named(strange)}")
        heads = {head: dict(settings) for head, settings in content.get("heads", {}).items()}
        if not (heads or content.get("text_encoder") or content.get("image_encoder")):
            raise ValueError("it names no encoder and no head")
        faults = [f"unknown head {head}" for head in heads if head not in HEADS]
        given = [(head, key, value) for head, settings in heads.items() for key, value in settings.items()]
        faults += [f"{head}: unknown setting {key}" for head, key, _ in given if key not in KINDS]
        faults += [
            f"{head}: {key} must be {KINDS[key].__name__}, not {value!r}"
            for head, key, value in given
            if key in KINDS and not isinstance(value, (int, float) if KINDS[key] is float else KINDS[key])
        ]
        if faults:
            raise Refused(f"{path} is not what a sweep writes:\n{listing(faults)}\n{hint}")
        for settings in heads.values():
            settings |= {key: float(value) for key, value in settings.items() if KINDS[key] is float}
            HeadSettings(**settings)
        read: Choice = revive(Choice, content | {"heads": heads, "notes": [*map(str, content.get("notes", []))]})
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Refused(f"{path} is not what a sweep writes: {error}. {hint}") from None
    return read
