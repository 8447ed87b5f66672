"""Memes with planted vectors, as systems read them."""

import numpy as np
import torch

from experiments.systems import models
from experiments.systems.inputs import Inputs
from experiments.systems.published import Shape

TEXT_DIM, IMAGE_DIM = 6, 9


def memes(count: int, seed: int = 0, signal: str = "xor", split: str = "train") -> Inputs:
    """signal: "xor" (only the pair of vectors tells the label) or "text" (the text's does)."""
    draw = np.random.default_rng([seed, count])
    says, shows = draw.integers(0, 2, (2, count)) * 2 - 1
    text = draw.normal(size=(count, TEXT_DIM), scale=0.4).astype(np.float32)
    image = draw.normal(size=(count, IMAGE_DIM), scale=0.4).astype(np.float32)
    text[:, 0] += says
    image[:, 0] += shows
    label = ((says * shows if signal == "xor" else says) > 0).astype(np.int64)
    return Inputs(split, label, {"text_vec": text, "image_vec": image})


def concat(shape: Shape, seed: int = 0) -> models.Concat:
    """On cached vectors."""
    text, image = models.cached("text", TEXT_DIM), models.cached("image", IMAGE_DIM)
    return models.Concat(text, image, shape, torch.Generator().manual_seed(seed))
