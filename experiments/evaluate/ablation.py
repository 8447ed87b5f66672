"""Which side does a head use? What is lost when a side's vectors tell nothing of the meme, at test time.

Shuffled among the split's memes a side keeps its distribution, and breaks off from the other side and the label
(permutation importance, Breiman 2001); at train's mean it is silent. Nothing is trained again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.data import Data, Split
from experiments.evaluate import delong
from experiments.results.records import Ablation
from experiments.training import Trained, rows
from heads.fitted import Fitted
from heads.models import HEADS
from heads.rows import Rows

SHUFFLES = 20  # of each side; the same for every head


def ablations(data: Data, trained: Sequence[Trained], quiet: bool = True) -> list[Ablation]:
    """Take each side from every head that looks at it, on dev and on the test splits with both labels."""
    splits = [split.labelled for split in (data.dev, *data.own_tests) if split.has_both_labels]
    jobs = [(split, each.fitted) for split in splits for each in trained if each.fitted]
    shown = tqdm(jobs, "ablation", leave=False, disable=quiet or None, delay=1)
    return [
        each for split, fitted in shown for side in HEADS[fitted.head].sides for each in ablated(fitted, split, side)
    ]


def ablated(fitted: Fitted, split: Split, side: str) -> Iterator[Ablation]:
    """Yield what the head loses on these memes with this side shuffled, and with it at train's mean.

    A run is compared with itself, and memes that share a text or an image are one observation.
    """
    positive, group = split.pairs.label == 1, split.group
    groups = group[positive], group[~positive]

    def placed(asked: Rows) -> tuple[Any, Any]:
        return delong.placements_of_runs(fitted.logits(asked).double().numpy(), positive)

    up, down = placed(rows(split))
    draws = [placed(rows(shuffled(split, side, seed))) for seed in range(SHUFFLES)]
    without = {"shuffled": tuple(np.mean(part, axis=0) for part in zip(*draws, strict=True))}
    without["mean"] = placed(silent(fitted, split, side))
    for how, (its_up, its_down) in without.items():
        lost = delong.contrast(up - its_up, down - its_down, *groups)
        areas = float(up.mean()), float(its_up.mean())
        yield Ablation(split.name, fitted.head, side, how, *areas, lost.low, lost.high)


def shuffled(split: Split, side: str, seed: int) -> Split:
    """Return memes of which each has another's vector on this side, drawn by lot."""
    pairs, order = split.pairs, np.random.default_rng(seed).permutation(len(split))
    if side == "text":
        return replace(split, pairs=replace(pairs, text_rows=pairs.text_rows[order]))
    return replace(split, pairs=replace(pairs, image_rows=pairs.image_rows[order]))


def silent(fitted: Fitted, split: Split, side: str) -> Rows:
    """Return memes whose vectors on this side are all train's mean."""
    its = rows(split)
    text, image = (np.broadcast_to(scale.mean.numpy(), (len(split), len(scale.mean))) for scale in fitted.scaling)
    return replace(its, text_vec=text) if side == "text" else replace(its, image_vec=image)
