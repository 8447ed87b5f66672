"""Rows for a head's figure to stand against: the majority class, logistic regressions, nearest neighbours.

All see standardised vectors and choose on dev alone. "LR balanced" sees both as the heads do, each encoder's
vector scaled to one mean squared norm, so that the wider one does not drown the other; the rest see columns of variance
1, as is the custom.
"""

import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from experiments.data import Data, Split
from heads.metrics import auc_roc
from heads.rows import IN_CACHE, SQUARED_NORM, Scaling, blocks, read_rows

STRENGTHS = tuple(10.0**power for power in range(-5, 3))  # scikit-learn's C: inverse weight of the squared norm
NEIGHBOURS = (5, 10, 20, 50, 100)
QUERIES = 1024  # memes compared with all of train at a time
MOST = 50_000  # memes of train that are looked at: these methods hold all of them in memory, several times over

Vectors = dict[str, Float[np.ndarray, "n dim"]]  # by split, standardised with train's mean and deviation


@dataclass(frozen=True)
class Reference:
    """A reference's logits on every split but train."""

    name: str
    settings: dict[str, Any]  # what was chosen on dev
    logit: dict[str, Float[Tensor, "1 n"]]
    seconds: float


def references(data: Data) -> list[Reference]:
    """Fit them all, side by side."""
    splits, train = [data.dev, *data.tests], some(data.train)
    label, dev_label = train.pairs.label.astype(np.int64), data.dev.pairs.label.astype(np.int64)
    there = [side for side, encoder in data.encoders.items() if encoder.dim]
    sides = {side: standardised(train, splits, side) for side in there}
    if len(there) == 2:
        pairs = {name: (sides["text"][name], sides["image"][name]) for name in sides["text"]}
        sides["both"] = {name: np.concatenate(pair, axis=1) for name, pair in pairs.items()}
        widths = [part.dim for encoder in data.encoders.values() for part in encoder.parts]
        sides["balanced"] = {name: even(both, widths) for name, both in sides["both"].items()}
    looked_at = "both" if len(there) == 2 else there[0]

    def regression(side: str) -> Reference:
        return logistic_regression(f"LR {side}", sides[side], label, dev_label, data.dev.name)

    # a thread each: their products are too small for more, and a threaded BLAS waits badly where cores are shared
    with threadpool_limits(limits=1), ThreadPoolExecutor() as pool, warnings.catch_warnings():
        # in float32 a line search may end on rounding, with the gradient all but zero
        warnings.simplefilter("ignore", ConvergenceWarning)
        # the widest first: what is left for the end is short
        fits = {side: pool.submit(regression, side) for side in reversed(sides)}
        neighbours = pool.submit(
            nearest_neighbours, f"kNN {looked_at}", sides[looked_at], label, dev_label, data.dev.name
        )
        regressions = [fits[side].result() for side in sides]
        chance = majority(label, {split.name: len(split) for split in splits})
        fitted = [chance, *regressions, neighbours.result()]
    if len(train) == len(data.train):
        return fitted
    return [replace(each, settings={**each.settings, "train_memes": len(train)}) for each in fitted]


def some(train: Split) -> Split:
    """All of train, or of a larger one MOST memes, always the same."""
    if len(train) <= MOST:
        return train
    return train.only(np.sort(np.random.default_rng(0).choice(len(train), MOST, replace=False)))


def standardised(train: Split, splits: list[Split], side: str) -> Vectors:
    """One side's vectors of all splits, train's under "train"; columns of train have variance 1."""
    vectors = {split.name: getattr(split.pairs, f"{side}_vec") for split in (train, *splits)}
    scale = Scaling.fit(vectors[train.name])
    unit = (vectors[train.name].shape[1] / SQUARED_NORM) ** 0.5
    scaled = {}
    for name, vector in vectors.items():
        scaled[name] = np.empty(vector.shape, np.float32)
        for rows in blocks(len(vector), IN_CACHE):
            scaled[name][rows] = scale(read_rows(vector, rows)) * unit
    return scaled


def even(vector: Float[np.ndarray, "n dim"], widths: Sequence[int]) -> Float[np.ndarray, "n dim"]:
    """Columns of variance 1 -> vectors whose blocks, of these widths, have the mean squared norm that heads give."""
    return vector * np.repeat([(SQUARED_NORM / width) ** 0.5 for width in widths], widths).astype(np.float32)


def majority(label: Int[np.ndarray, " train"], sizes: dict[str, int]) -> Reference:
    """Every meme gets train's share of label 1 as its probability."""
    share = torch.tensor(label.mean())
    return Reference("majority class", {}, {name: share.logit().expand(1, size) for name, size in sizes.items()}, 0.0)


def logistic_regression(
    name: str, vectors: Vectors, label: Int[np.ndarray, " train"], dev_label: Int[np.ndarray, " dev"], dev: str
) -> Reference:
    """scikit-learn's LogisticRegression with the best C on dev; each fit starts where the one before it ended."""
    start = time.perf_counter()
    best_auc, chosen, best = -1.0, 0.0, {}
    model = LogisticRegression(max_iter=2_000, warm_start=True)
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(vectors["train"], label)
        auc = dev_auc(model.decision_function(vectors[dev]), dev_label)
        if auc > best_auc:
            best_auc, chosen = auc, strength
            best = {split: _logits(model.decision_function(vectors[split])) for split in vectors if split != "train"}
    return Reference(name, {"C": chosen}, best, time.perf_counter() - start)


def nearest_neighbours(
    name: str, vectors: Vectors, label: Int[np.ndarray, " train"], dev_label: Int[np.ndarray, " dev"], dev: str
) -> Reference:
    """The share of label 1 among the k nearest train memes by cosine, k chosen on dev.

    Shares are smoothed, (hits + 1) / (k + 2), for a logit must be finite.
    """
    start = time.perf_counter()
    known = torch.nn.functional.normalize(torch.from_numpy(vectors["train"]))
    counts = [k for k in NEIGHBOURS if k <= len(label)] or [len(label)]
    hits = {}
    for split in vectors:
        if split != "train":
            asked = torch.nn.functional.normalize(torch.from_numpy(vectors[split]))
            near = torch.cat([(part @ known.T).topk(counts[-1]).indices for part in asked.split(QUERIES)])
            hits[split] = torch.from_numpy(label)[near].cumsum(dim=1)
    k = max(counts, key=lambda k: (dev_auc(hits[dev][:, k - 1].double().numpy(), dev_label), k))
    best = {split: ((its[:, k - 1] + 1) / (k + 2)).logit()[None] for split, its in hits.items()}
    return Reference(name, {"k": k}, best, time.perf_counter() - start)


def dev_auc(score: Float[np.ndarray, " dev"], label: Int[np.ndarray, " dev"]) -> float:
    return float(auc_roc(_logits(score), torch.from_numpy(label.astype(np.int64))))


def _logits(score: Float[np.ndarray, " n"]) -> Float[Tensor, "1 n"]:
    return torch.from_numpy(np.asarray(score, dtype=np.float32))[None]
