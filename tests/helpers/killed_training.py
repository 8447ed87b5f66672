"""A training with a checkpoint after every step, for tests that stop it in any of them."""

from pathlib import Path

import torch
from planted_memes import concat, memes

from experiments.systems import trainer
from experiments.systems.published import Shape, TrainingRecipe

HOW = TrainingRecipe(learning_rate=1e-2, schedule="plateau", clip=1.0, batch=8, accumulate=2, epochs=6, patience=2)
SHAPE = Shape(projection=4, hidden=8, depth=1, dropout=0.5)
MEMES = 60  # four steps an epoch, the last of a batch that is not full; stops early, at step 16 of 24


def run(folder: Path) -> torch.nn.Module:
    """Train in `folder`, or go on there."""
    trainer.SAVE_EVERY = 0.0
    model = concat(SHAPE)
    trainer.train(model, memes(MEMES), memes(40, seed=1, split="dev"), HOW, folder, seed=0, device="cpu")
    return model
