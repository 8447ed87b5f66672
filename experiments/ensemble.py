"""The mean of several heads' probabilities: which heads, and how often, dev decides."""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from experiments.data import Data
from experiments.options import ENSEMBLE
from experiments.training import Trained, chosen_on_dev
from heads.metrics import auc_roc, probabilities

MOST = 20  # heads in an ensemble, repeats counted


def greedy(data: Data, trained: Sequence[Trained]) -> Trained:
    """Return the ensemble that greedy forward selection with replacement finds (Caruana et al. 2004).

    It starts from the head that is best on dev; then whichever head raises the AUC-ROC of the mean on dev the most is
    added, as often as one does. Run i is the mean of the heads' runs i; selection is by the mean over runs.
    """
    start = time.perf_counter()
    label = torch.from_numpy(data.dev.pairs.label.astype(np.int64))
    probability = {
        each.name: {split: probabilities(logit, each.temperature) for split, logit in each.logit.items()}
        for each in trained
    }
    of_dev = {name: splits[data.dev.name] for name, splits in probability.items()}
    chosen: list[str] = []
    best, total = -1.0, torch.zeros_like(next(iter(of_dev.values())))
    while len(chosen) < MOST:
        # a sum ranks as its mean does
        area = {name: auc_roc(total + each, label).mean().item() for name, each in of_dev.items()}
        name = max(area, key=lambda name: np.nan_to_num(area[name], nan=-1.0))
        if not area[name] > best:
            break
        best, total = area[name], total + of_dev[name]
        chosen.append(name)
    share = {name: count / len(chosen) for name, count in Counter(chosen).items()}

    def mean(split: str) -> Float[Tensor, "run meme"]:
        # as sure as float64 can say: an infinite logit could not be compared with another
        parts = [part * probability[name][split] for name, part in share.items()]
        return torch.logit(torch.stack(parts).sum(dim=0), eps=2**-53)

    logit = {split: mean(split) for split in trained[0].logit}
    threshold, temperature = chosen_on_dev(data, logit, "none")
    settings = [{"heads": dict(Counter(chosen)), "seed": settings["seed"]} for settings in trained[0].settings]
    seconds = time.perf_counter() - start
    return Trained(ENSEMBLE, ENSEMBLE, settings, [0] * len(settings), logit, threshold, temperature, seconds, None)
