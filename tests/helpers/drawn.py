"""Vectors of memes with a signal of our choosing, and settings that learn it quickly, for tests of heads."""

from dataclasses import replace

import numpy as np
from safetensors.torch import save

from heads.fitted import Fitted
from heads.rows import Rows
from heads.settings import HeadSettings

QUICK = HeadSettings(
    hidden=16, dropout=0.2, learning_rate=0.01, weight_decay=0.01, batch_size=64, min_steps=4,
    max_epochs=12, patience=4,
)  # fmt: skip


def memes(count, seed=0, signal="both", dims=(6, 9), noise=0.5, share=0.5) -> Rows:
    """Vectors that point along (1, 1, ..) or against it.

    signal: "both" (each tells a part of the label) or "xor" (only the pair tells it). share: of memes that are hateful.
    """
    draw = np.random.default_rng([seed, count])
    says, shows = draw.integers(0, 2, (2, count)) * 2 - 1
    score = {"both": says + shows + draw.normal(size=count), "xor": says * shows + 0.0}[signal]
    label = (score > np.quantile(score, 1 - share) if signal == "both" else score > 0).astype(np.int64)
    vecs = [
        (hint[:, None] * 2 / np.sqrt(dim) + draw.normal(size=(count, dim)) * noise).astype(np.float32)
        for hint, dim in zip((says, shows), dims, strict=True)
    ]
    return Rows(*vecs, label)


TRAIN, DEV, TEST = memes(200), memes(150), memes(400)


def seeds(asked: HeadSettings, count: int) -> list[HeadSettings]:
    return [replace(asked, seed=seed) for seed in range(count)]


def state_bytes(fitted: Fitted) -> bytes:
    return save(fitted.state())
