"""A head's trained runs on a split: their scores, their records, and the threshold of their mean."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int

from experiments.evaluate.scores import Scores
from experiments.results.records import Record
from experiments.training import Trained
from extract.store import NO_LABEL
from heads.metrics import best_threshold, probabilities


def scores_of(trained: Trained, split: str, label: Int[np.ndarray, " meme"]) -> Scores:
    """The logits on the memes of a split that have a label."""
    labelled = np.flatnonzero(label != NO_LABEL)
    return Scores(
        trained.name,
        trained.kind,
        split,
        trained.logit[split][:, labelled],
        label[labelled],
        trained.threshold,
        trained.temperature,
    )


def records(
    trained: Sequence[Trained], labels: Mapping[str, Int[np.ndarray, " meme"]], features: dict[str, str], code: str
) -> list[Record]:
    """A record for each run on each split of `labels`; without metrics where the split has no labels.

    features: the encoders' fingerprints by name. code: memefuse's version.
    """
    found = []
    for each in trained:
        for split, label in labels.items():
            scores = scores_of(each, split, label)
            scored = len(scores.label) > 0
            metrics = scores.metrics(0.5) if scored else {}
            tuned = scores.metrics(scores.threshold) if scored else {}
            for run, settings in enumerate(each.settings):
                found.append(
                    Record(
                        head=each.name,
                        kind=each.kind,
                        seed=settings.get("seed", 0),
                        split=split,
                        memes=len(scores.label),
                        settings=settings,
                        best_epoch=each.best_epoch[run],
                        threshold=float(each.threshold[run]),
                        temperature=float(each.temperature[run]),
                        metrics={name: float(values[run]) for name, values in metrics.items()},
                        tuned={name: float(values[run]) for name, values in tuned.items()},
                        features=features,
                        code=code,
                        seconds=round(each.seconds, 3),
                    )
                )
    return found


def mean_threshold(trained: Trained, dev: str, label: Int[np.ndarray, " meme"]) -> float:
    """The threshold of the runs' mean probability, tuned on dev as each run's own is."""
    mean = probabilities(trained.logit[dev], trained.temperature).mean(dim=0, keepdim=True)
    return best_threshold(torch.logit(mean), torch.from_numpy(label.astype(np.int64))).item()
