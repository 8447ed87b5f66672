"""Which memes a head does well on: AUC-ROC on parts of a split."""

import numpy as np
from jaxtyping import Bool, Int

from experiments.data import NO_TEXT, Split
from experiments.evaluate import delong, intervals, resampling
from experiments.evaluate.scores import Scores
from experiments.results.records import NAN, Figure, Slice

BANDS = (8, 16, 32, 64)  # word pieces: the longest text of each band but the last, which is open


def masks(split: Split, train: Split) -> dict[str, Bool[np.ndarray, " meme"]]:
    """The slices of a split by name. Those that hold no meme, or all, are left out."""
    pairs = split.pairs
    masks = {"text occurs with both labels": with_both_labels(split)}
    if pairs.tokens is not None:
        masks |= length_bands(pairs.tokens)
    shared = held_by_train(split, train)
    masks |= {"image also in train": shared["image"], "image not in train": ~shared["image"]}
    return {name: mask for name, mask in masks.items() if mask.any() and not mask.all()}


def unseen(split: Split, train: Split) -> Int[np.ndarray, " some"]:
    """Return the memes of which train holds nothing."""
    return np.flatnonzero(~np.any(list(held_by_train(split, train).values()), axis=0))


def held_by_train(split: Split, train: Split) -> dict[str, Bool[np.ndarray, " meme"]]:
    """Which memes' id, text or image (byte-identical) stands in train, too.

    No text at all is nothing to share, and neither is a placeholder, which ties no memes together.
    """
    pairs, known = split.pairs, train.pairs
    text = np.isin(pairs.text_content, known.text_content) & (pairs.text_content != NO_TEXT)
    text &= ~resampling.common(split.text_group)
    image = np.isin(pairs.image_content, known.image_content) & ~resampling.common(split.image_group)
    same_id = np.isin(pairs.ids, known.ids) & (not split.elsewhere)
    return {"id": same_id, "text": text, "image": image}


def with_both_labels(split: Split) -> Bool[np.ndarray, " meme"]:
    """Memes whose very text occurs in the split under either label (benign confounders): only the image decides."""
    group, positive = split.text_group, split.pairs.label == 1
    memes = np.bincount(group)
    positives = np.bincount(group, positive)
    return ((positives > 0) & (positives < memes))[group]


def length_bands(tokens: np.ndarray) -> dict[str, Bool[np.ndarray, " meme"]]:
    """Memes by the number of word pieces in their text, before truncation."""
    edges = (0, *BANDS)
    bands = {
        f"{low + 1} to {high} word pieces": (tokens > low) & (tokens <= high)
        for low, high in zip(edges, BANDS, strict=False)
    }
    return bands | {f"over {BANDS[-1]} word pieces": tokens > BANDS[-1]}


def slices(split: Split, train: Split, heads: list[Scores]) -> list[Slice]:
    """Every head's AUC-ROC on every slice, with Wilson's interval from its clustered standard error."""
    return [
        Slice(
            split.name,
            name,
            int(mask.sum()),
            int((split.pairs.label[mask] == 1).sum()),
            {scores.name: sliced(scores, mask, split.group) for scores in heads},
        )
        for name, mask in masks(split, train).items()
    ]


def sliced(scores: Scores, mask: Bool[np.ndarray, " meme"], group: np.ndarray) -> Figure:
    positive = scores.positive[mask]
    logit = scores.logit.double().numpy()[:, mask]
    if positive.all() or not positive.any():
        return Figure(NAN, undefined=len(logit))
    areas = [float(delong.placements(run, positive)[0].mean()) for run in logit]
    mean, spread = float(np.mean(areas)), float(np.std(areas, ddof=1)) if len(areas) > 1 else NAN
    groups, its_group = np.unique(group[mask], return_inverse=True)
    variance = delong.auc_error(logit, positive, its_group) ** 2
    most = np.inf if delong.constant(scores.logit) else len(groups)
    return Figure(mean, spread, *intervals.score_interval(mean, variance, most))
