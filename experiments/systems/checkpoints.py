"""The Trainer's checkpoints: which are whole, what they say, and where training goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

from experiments.systems.published import Training

SPENT = "seconds.txt"  # in a checkpoint: wall time of training up to it


def last_whole(folder: Path) -> Path | None:
    """The last checkpoint that was written to its end: its state is written last. Half-written ones are passed over."""
    if not folder.is_dir():
        return None
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((path for path in reversed(found) if whole(path)), None)


def clear_unfinished(folder: Path) -> None:
    """Remove half-written checkpoints: counted among the newest, they would have a whole one thrown away."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not whole(checkpoint):
            shutil.rmtree(checkpoint)


def whole(checkpoint: Path) -> bool:
    try:
        return "global_step" in read_state(checkpoint)
    except (OSError, ValueError):
        return False


def read_state(checkpoint: Path) -> dict[str, Any]:
    return json.loads((checkpoint / "trainer_state.json").read_text())


def spent_until(checkpoint: Path | None) -> float:
    """Seconds of training that a checkpoint took."""
    return float((checkpoint / SPENT).read_text()) if checkpoint and (checkpoint / SPENT).exists() else 0.0


def over(checkpoint: Path, how: Training) -> bool:
    """Whether training was over, by its last step or by stopping early: the Trainer would train on all the same."""
    state = read_state(checkpoint)
    return state["global_step"] >= state["max_steps"] or stopped_early(checkpoint, how)


def stopped_early(checkpoint: Path, how: Training) -> bool:
    callback = read_state(checkpoint).get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    return how.patience > 0 and callback.get("attributes", {}).get("early_stopping_patience_counter", 0) >= how.patience


def kept(checkpoint: Path, how: Training) -> str:
    """Whose weights a training that is over has: its best one's, wherever its folder has been moved to, or the last."""
    return str(
        checkpoint.parent / Path(read_state(checkpoint)["best_model_checkpoint"]).name if how.patience else checkpoint
    )
