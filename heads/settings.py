"""What one training run is asked to do."""

from dataclasses import dataclass

import torch

STREAMS = ("weights", "dropout", "order")  # what a run draws
BALANCES = ("none", "pos_weight", "undersample")


@dataclass(frozen=True)
class HeadSettings:
    """One run of one head. The defaults are the shipped recipe."""

    hidden: int = 128  # units in each hidden layer
    depth: int = 1  # hidden layers
    projection: int = 128  # width that either vector is projected to, in heads that compare the two unit by unit
    dropout: float = 0.3  # probability of dropping a hidden unit
    learning_rate: float = 7e-3  # AdamW
    weight_decay: float = 5.0  # AdamW, decoupled: a step shrinks weights by learning_rate * weight_decay; not biases
    batch_size: int = 256  # memes
    averaging: float = 0.98  # decay per step of the running mean of weights that is scored; 0: an epoch's last weights
    min_steps: int = 32  # an epoch is a pass over train, or as many as make this many steps
    max_epochs: int = 30
    patience: int = 6  # epochs without a better dev AUC-ROC before a run stops
    balance: str = (
        "none"  # "pos_weight": weigh the hateful up; "undersample": draw as many of the larger class, anew each epoch
    )
    seed: int = 0  # initialisation, order of memes, dropout and undersampling

    def __post_init__(self) -> None:
        """Raise ValueError that names every fault at once."""
        whole = ("hidden", "depth", "projection", "batch_size", "min_steps", "max_epochs", "patience")
        faults = [f"{name} must be at least 1, not {value}" for name in whole if (value := getattr(self, name)) < 1]
        if not 0 <= self.dropout < 1:
            faults.append(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if not 0 <= self.averaging < 1:
            faults.append(f"averaging must be at least 0 and below 1, not {self.averaging}")
        if not self.learning_rate > 0:
            faults.append(f"learning_rate must be above 0, not {self.learning_rate}")
        if not self.weight_decay >= 0:
            faults.append(f"weight_decay must be at least 0, not {self.weight_decay}")
        if self.balance not in BALANCES:
            faults.append(f"balance must be one of {', '.join(BALANCES)}, not {self.balance}")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def shape(self) -> tuple[int, int, int, int, float, int]:
        """What runs must have in common to be trained as one stack, step by step."""
        return self.hidden, self.depth, self.projection, self.batch_size, self.averaging, self.min_steps


def seeded(seed: int, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A run's generator for one of `STREAMS`: started alike, they would draw the same numbers."""
    # torch's CPU generator looks at 32 bits of a seed only: streams must differ in the low ones
    return torch.Generator(device).manual_seed(len(STREAMS) * seed + STREAMS.index(stream))
