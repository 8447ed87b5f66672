"""Run as a script: train a tiny system in a folder, saying every step, until it is done or killed."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tiny_encoders import images, resnet, resnet_folder, text_folder
from tiny_systems import memes, transformer
from torch import nn

from experiments.systems import trainer
from experiments.systems.encoders import Side
from experiments.systems.inputs import Inputs
from experiments.systems.models import build
from experiments.systems.published import SYSTEMS, TrainingRecipe
from extract.encoders import catalogue
from extract.store import EncoderIdentity

STEPS = 9


@dataclass(frozen=True)
class Tiny:
    """A model as it begins, its memes, and how it is trained."""

    model: nn.Module
    train: Inputs
    dev: Inputs
    how: TrainingRecipe


def transformer_on_grids(encoders: Path) -> Tiny:
    """Dropout, a cosine schedule with warm-up, batches that end in mid-epoch."""
    how = TrainingRecipe(
        learning_rate=1e-3, weight_decay=0.01, schedule="cosine", warmup=2, clip=1.0, batch=4, epochs=3
    )
    return Tiny(transformer(bert(encoders)), memes(12), memes(6, split="dev"), how)


def two_encoders(encoders: Path) -> Tiny:
    """Both encoders train under a concatenation; batches are added up, and the best epoch is kept."""
    net = encoders / "resnet"
    if not net.exists():
        resnet_folder(net, resnet())
    sides = []
    for kind, folder in (("text", bert(encoders)), ("image", net)):
        located = catalogue.locate(kind, str(folder))
        identity = EncoderIdentity(kind, located.slug, 0, located.weights, {}, {})
        sides.append(Side(str(folder), str(folder), False, True, identity, located, cached=False))
    how = TrainingRecipe(learning_rate=1e-4, schedule="plateau", clip=1.0, batch=2, accumulate=2, epochs=3, patience=3)
    rows = [with_pixels(each) for each in (memes(12), memes(4, split="dev"))]
    return Tiny(build(SYSTEMS["fasttext-resnet152-concat"], *sides, seed=0), *rows, how)


def with_pixels(rows: Inputs) -> Inputs:
    columns = {"input_ids": rows.columns["input_ids"], "pixels": images(len(rows)).numpy()}
    return replace(rows, columns=columns)


def bert(encoders: Path) -> Path:
    folder = encoders / "bert"
    return folder if folder.exists() else text_folder(folder)


TINY = {"transformer": transformer_on_grids, "concat": two_encoders}


def train(name: str, encoders: Path, checkpoints: Path) -> tuple[dict[str, torch.Tensor], trainer.Learned]:
    """Weights at the end. One thread: sums are taken in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tiny = TINY[name](encoders)
        learned = trainer.train(
            tiny.model, tiny.train, tiny.dev, tiny.how, checkpoints, seed=3, device="cpu", precision="float32"
        )
    finally:
        torch.set_num_threads(threads)
    return tiny.model.state_dict(), learned


class Saying(trainer.TrainingBar):
    def on_step_begin(self, args, state, control, **more):
        print("step", state.global_step, flush=True)


if __name__ == "__main__":
    trainer.SAVE_EVERY = 0.0  # a checkpoint after every step
    trainer.TrainingBar = Saying  # type: ignore[misc]
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
