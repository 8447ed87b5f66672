"""A run's logits on every labelled meme of a split, kept beside its record, for tests that pair them meme by meme."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from experiments.evaluate import runs
from experiments.evaluate.scores import Scores
from experiments.systems.memes import NO_LABEL, Memes
from experiments.training import Trained
from extract.errors import Failed
from extract.files import replacing

SCORES = "scores.safetensors"


def save(folder: Path, trained: Sequence[Trained], splits: Sequence[Memes]) -> None:
    """trained: the heads of one run. splits: those to keep, with a label for some of their memes at least."""
    found: dict[str, Tensor] = {}
    for memes in splits:
        known = memes.label != NO_LABEL
        found[f"{memes.split} label"] = torch.from_numpy(memes.label[known].astype(np.int64))
        found[f"{memes.split} group"] = torch.from_numpy(memes.group[known].astype(np.int64))
        for each in trained:
            scores = runs.scores_of(each, memes.split, memes.label)
            found[f"{memes.split} logit {each.name}"] = scores.logit.contiguous()
            found[f"threshold {each.name}"] = scores.threshold
            found[f"temperature {each.name}"] = scores.temperature
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / SCORES) as aside:
        save_file(found, aside)


def read(folder: Path, split: str) -> tuple[dict[str, Scores], Int[np.ndarray, " meme"]]:
    """Every head's scores on a split by name, and the groups of memes of equal text. Raises Failed without a file."""
    if not (folder / SCORES).is_file():
        raise Failed(f"{folder} has lost its {SCORES}: remove the folder and run the system again")
    held = load_file(folder / SCORES)
    label, start = held[f"{split} label"].numpy(), f"{split} logit "
    heads = [name.removeprefix(start) for name in held if name.startswith(start)]
    scores = {
        head: Scores(
            head, "system", split, held[start + head], label, held[f"threshold {head}"], held[f"temperature {head}"]
        )
        for head in heads
    }
    return scores, held[f"{split} group"].numpy()
