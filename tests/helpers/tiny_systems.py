"""Memes with a planted word and a planted grid, and tiny models that train on them."""

from pathlib import Path

import numpy as np
import torch

from experiments.systems.inputs import Inputs
from experiments.systems.models import Branch, MultimodalTransformer
from extract.encoders import catalogue

CELLS, CHANNELS = 9, 6
CLS, SEP, FIRST_LETTER = 1, 2, 4  # tiny_encoders' vocabulary


def memes(count: int, seed: int = 0, split: str = "train") -> Inputs:
    """label = XOR of what the text's one telling word says and what the image's one telling cell shows."""
    draw = np.random.default_rng([seed, count])
    says, shows = draw.integers(0, 2, (2, count))
    grid = draw.normal(size=(count, CELLS, CHANNELS), scale=0.3).astype(np.float32)
    grid[np.arange(count), draw.integers(0, CELLS, count)] += np.where(shows, 2.0, -2.0)[:, None]
    token_ids = []
    for word in says:
        words = draw.integers(FIRST_LETTER + 2, FIRST_LETTER + 20, draw.integers(1, 6)).tolist()
        words.insert(draw.integers(0, len(words) + 1), FIRST_LETTER + int(word))
        token_ids.append([CLS, *words, SEP])
    columns = {"image_vec": grid.reshape(count, -1), "input_ids": token_ids}
    return Inputs(split, (says ^ shows).astype(np.int64), columns)


def transformer(bert: Path, train_text: bool = True, classes: int = 2, seed: int = 0) -> Branch:
    """Two layers of width 32."""
    torch.manual_seed(seed)
    located = catalogue.locate("text", str(bert))
    net = MultimodalTransformer(located, channels=CHANNELS, cells=CELLS, classes=classes, train_text=train_text)
    return Branch(("image_vec", "input_ids", "attention_mask"), net, classes)
