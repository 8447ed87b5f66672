"""The published walk-throughs as data. What runs them is shared; nothing here is a result of ours.

Published figures are for Facebook's Hateful Memes. Where a walk-through leaves a setting open, the value is ours and
`ours` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MEMES = "Hateful Memes"  # what every published figure was measured on


@dataclass(frozen=True)
class Shape:
    """What stands on top of the encoders."""

    logits: int = 2  # 2: one for each class, cross-entropy; 1: binary cross-entropy
    projection: int = 0  # units that each modality is brought to, linear and ReLU; 0: vectors are taken as they are
    hidden: int = 0  # units in each joint hidden layer
    depth: int = 0  # joint hidden layers, each with ReLU and dropout
    dropout: float = 0.0  # probability of dropping a joint hidden unit
    image_first: bool = False  # whether the image's vector stands before the text's
    norms_update: bool = False  # whether batch norms of an image encoder that trains take each batch's statistics


@dataclass(frozen=True)
class TrainingRecipe:
    """How the weights are found."""

    optimiser: str = "adamw"  # "adamw", "adam" or "sgd"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0  # ignored by sgd, as published
    momentum: float = 0.0  # of sgd
    schedule: str = "constant"  # "constant", "linear" and "cosine" (both down to 0) or "plateau" (of the dev loss)
    warmup: int = 0  # steps in which the learning rate rises from 0
    clip: float = 0.0  # largest norm of the gradients; 0: any
    batch: int = 64  # memes that are seen at once
    accumulate: int = 1  # batches to a step
    epochs: int = 10  # at most
    patience: int = 0  # epochs without a lower dev loss before it stops and the best is kept; 0: the last is kept
    least_improvement: float = 0.0  # of the dev loss, for which patience starts anew
    softmax_twice: bool = False  # whether cross-entropy, which has a softmax, is given the softmax of the logits
    seed: int = 0  # of the first run; further runs take the numbers after it
    balance: str = "none"  # "undersample": as many memes of the larger class as of the smaller, drawn once with seed 0


@dataclass(frozen=True)
class Published:
    """A figure that a walk-through reports."""

    metric: str  # as in the table: "accuracy", "macro_f1"
    split: str  # "dev" or "test"
    value: float
    condition: str = ""  # in which it was measured

    def __str__(self) -> str:
        return f"{self.split} {self.metric} {self.value}{f' ({self.condition})' if self.condition else ''}"


@dataclass(frozen=True)
class Setting:
    """One of a system's named settings: what it trains, how, and what was published for it."""

    train: tuple[str, ...]  # encoders that train: of "text", "image"
    training: TrainingRecipe
    published: tuple[Published, ...] = ()


@dataclass(frozen=True)
class System:
    """One walk-through: encoders, what is built on them, and the settings it was run with."""

    name: str
    what: str  # one sentence
    design: str  # "concat", "transformer" (image patches before the words), or "heads" (stage 2's own)
    text: str  # encoder, as published; FASTTEXT is trained here
    image: str
    shape: Shape
    settings: Mapping[str, Setting]  # the first is the default
    may_train: tuple[str, ...] = ("text", "image")  # encoders that --train may name
    ours: str = ""  # what the walk-through leaves open, and we chose
    max_tokens: int = 128  # word pieces a text
    heads: tuple[str, ...] = ()  # of stage 2, for design "heads"
    guess: Published | None = None  # what its authors report of random guessing, beside it

    @property
    def default(self) -> str:
        return next(iter(self.settings))


NORMS = "a ResNet that trains keeps its batch norms' statistics"
FASTTEXT = "fasttext"  # text encoder trained on the train split's texts
STAND_INS = {"text": "all-MiniLM-L6-v2", "image": "resnet50-keras"}  # that need no hub


def accuracy(value: float, condition: str = "", split: str = "dev") -> tuple[Published, ...]:
    return (Published("accuracy", split, value, condition),)


def only(train: tuple[str, ...], published: tuple[Published, ...], **training: Any) -> dict[str, Setting]:
    """A system's single setting. training: as Training has it."""
    return {"published": Setting(train, TrainingRecipe(**training), published)}


BOTH = ("text", "image")
SAME_JOB = "the same job as {}, published at {}: the difference is the noise of one training"


def linear(
    batch: int, epochs: int, rate: float, optimiser: str, decay: float, train: tuple[str, ...], value: float,
    condition: str = "",
) -> Setting:  # fmt: skip
    """One of the ten published trainings of BERT and ResNet-18 under a linear layer: no schedule and no clipping."""
    momentum = 0.9 if optimiser == "sgd" else 0.0
    training = TrainingRecipe(optimiser, rate, decay, momentum=momentum, batch=batch, epochs=epochs)
    return Setting(train, training, accuracy(value, condition))


LINEAR = {
    "both-frozen": linear(64, 2, 1e-2, "adam", 0.0, (), 0.538, "both frozen"),
    "adam-moderate": linear(64, 2, 1e-2, "adam", 0.0, BOTH, 0.496),
    "low-rate-high-regularisation": linear(
        128, 5, 1e-4, "adam", 1e-4, BOTH, 0.554, SAME_JOB.format("high-regularisation-slow", ".558")
    ),
    "sgd-momentum": linear(128, 5, 1e-2, "sgd", 0.0, BOTH, 0.556),
    "fast-learning": linear(64, 2, 1e-2, "sgd", 0.0, BOTH, 0.522),
    "image-frozen": linear(64, 5, 1e-2, "adam", 1e-4, ("text",), 0.500, "image frozen"),
    "text-frozen": linear(128, 5, 1e-2, "sgd", 0.0, ("image",), 0.516, "text frozen"),
    "high-regularisation-slow": linear(
        128, 5, 1e-4, "adam", 1e-4, BOTH, 0.558, SAME_JOB.format("low-rate-high-regularisation", ".554")
    ),
    "batch-size": linear(128, 2, 1e-2, "sgd", 1e-4, BOTH, 0.520),
    "balanced-sgd": linear(64, 5, 1e-5, "sgd", 1e-4, BOTH, 0.504),
}

CONCAT = only(
    (), accuracy(0.534, "image encoder fine-tuned", split="test"), learning_rate=5e-5, weight_decay=0.01,
    schedule="plateau", clip=1.0, batch=4, accumulate=16, patience=3, least_improvement=1e-3, softmax_twice=True,
    seed=42, balance="undersample",
)  # fmt: skip
TRANSFORMER = only(
    ("text",), accuracy(0.574), learning_rate=5e-6, weight_decay=0.01, schedule="cosine", warmup=200, batch=128,
    epochs=30,
)  # fmt: skip
MLP = only(
    (), (*accuracy(0.566), Published("macro_f1", "dev", 0.502)), learning_rate=1e-4, weight_decay=0.01,
    schedule="linear", clip=1.0, batch=32, epochs=10,
)  # fmt: skip

SYSTEMS = {
    system.name: system
    for system in (
        System(
            name="fasttext-resnet152-concat",
            what="fastText and ResNet-152, each through a layer of its own, then one on both",
            design="concat",
            text=FASTTEXT,
            image="resnet152",
            shape=Shape(projection=300, hidden=256, depth=1, dropout=0.1),
            may_train=("image",),
            settings=CONCAT,
            ours="the softmax goes into cross-entropy, which takes a second one, as published; weight decay is torch's "
            "default for AdamW; the plateau is torch's, with a patience of 10 epochs, and never acts within 10; the "
            f"split of the published accuracy is taken to be test; {NORMS}",
        ),
        System(
            name="bert-resnet18-linear",
            what="BERT's pooler output and ResNet-18 side by side under one linear layer",
            design="concat",
            text="bert-base-uncased:pooler",
            image="resnet18",
            shape=Shape(image_first=True, norms_update=True),
            max_tokens=512,
            settings=LINEAR,
            ours="sgd ignores weight decay, as published; a frozen encoder's vectors are made once, in eval mode: its "
            "dropout and its batch norms' statistics stand still, though the published ones ran in train mode",
            guess=Published("accuracy", "dev", 0.496),
        ),
        System(
            name="multimodal-transformer",
            what="ResNet-18's 7 x 7 grid, projected, before the word embeddings, read by BERT's encoder",
            design="transformer",
            text="bert-base-uncased",
            image="resnet18:grid",
            shape=Shape(),
            may_train=("text",),
            settings=TRANSFORMER,
            ours="weight decay is torch's default for AdamW; 128 word pieces, the cells' positions as BERT's own "
            "tables begin, and dropout before the class are ours",
        ),
        System(
            name="distilbert-resnet50-mlp",
            what="DistilBERT's first token and ResNet-50 side by side under one hidden layer",
            design="concat",
            text="distilbert-base-uncased",
            image="resnet50",
            shape=Shape(hidden=512, depth=1, dropout=0.3),
            settings=MLP,
            ours="dropout .3, rate 1e-4, decay .01, clipping at 1, batch 32 and 10 epochs are ours, and so is freezing "
            f"both encoders (--train text,image trains them); {NORMS}",
        ),
        System(
            name="lab",
            what="BERT and ResNet-18 under a text, an image, an early-fusion head and the mean of two logits",
            design="heads",
            text="bert-base-uncased",
            image="resnet18",
            shape=Shape(logits=1),
            may_train=(),
            settings=only((), (), optimiser="adam", learning_rate=1e-3),
            heads=("text", "image", "early", "mean"),
            ours="all but Adam, 1e-3 and the loss is stage 2's recipe: standardised vectors, early stopping on dev",
        ),
    )
}
