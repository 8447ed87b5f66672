"""Run as a script: a training with a checkpoint after every step, slow enough to be killed in any of them."""

import sys
import time
from pathlib import Path

import torch
from planted_memes import concat, memes
from safetensors.torch import save_file

from experiments.systems import trainer
from experiments.systems.published import Shape, Training

HOW = Training(learning_rate=1e-2, schedule="plateau", clip=1.0, batch=8, accumulate=2, epochs=6, patience=2)
SHAPE = Shape(projection=4, hidden=8, depth=1, dropout=0.5)
MEMES = 60  # four steps an epoch, the last of a batch that is not full; stops early, at step 16 of 24


def run(folder: Path, wait: float = 0.0) -> torch.nn.Module:
    """Train in `folder`; seconds to wait after each step."""
    trainer.SAVE_EVERY = 0.0
    model = concat(SHAPE)
    step = trainer.Live.on_step_end

    def slow(self, *given, **named):
        time.sleep(wait)
        return step(self, *given, **named)

    trainer.Live.on_step_end = slow
    try:
        trainer.train(model, memes(MEMES), memes(40, seed=1, split="dev"), HOW, folder, seed=0, device="cpu")
    finally:
        trainer.Live.on_step_end = step
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("ready", flush=True)
    save_file(run(Path(sys.argv[1]), 0.05).state_dict(), Path(sys.argv[1]) / "end.safetensors")
