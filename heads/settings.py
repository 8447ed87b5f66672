"""What one training run is asked to do."""

from dataclasses import dataclass

BALANCES = ("none", "pos_weight", "undersample")


@dataclass(frozen=True)
class HeadSettings:
    """One run of one head. The defaults are the shipped recipe."""

    hidden: int = 256  # units in each hidden layer
    depth: int = 1  # hidden layers
    dropout: float = 0.5  # probability of dropping a hidden unit
    learning_rate: float = 3e-4  # AdamW
    weight_decay: float = 0.1  # AdamW, decoupled; on weight matrices, not on biases
    batch_size: int = 256  # memes
    max_epochs: int = 40
    patience: int = 6  # epochs without a better dev AUC-ROC before a run stops
    balance: str = "none"  # "pos_weight": weigh the hateful up; "undersample": draw as many of the larger class, anew each epoch
    seed: int = 0  # initialisation, dropout and undersampling; the order of memes is the same for all runs

    def __post_init__(self) -> None:
        """Raise ValueError that names every fault at once."""
        whole = {name: getattr(self, name) for name in ("hidden", "depth", "batch_size", "max_epochs", "patience")}
        faults = [f"{name} must be at least 1, not {value}" for name, value in whole.items() if value < 1]
        if not 0 <= self.dropout < 1:
            faults.append(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if not self.learning_rate > 0:
            faults.append(f"learning_rate must be above 0, not {self.learning_rate}")
        if not self.weight_decay >= 0:
            faults.append(f"weight_decay must be at least 0, not {self.weight_decay}")
        if self.balance not in BALANCES:
            faults.append(f"balance must be one of {', '.join(BALANCES)}, not {self.balance}")
        if faults:
            raise ValueError("; ".join(faults))
