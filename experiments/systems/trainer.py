"""Training through transformers' Trainer: checkpoints, resuming, early stopping, schedules. Quiet, but for one bar."""

import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from experiments.systems.inputs import Inputs, collate
from experiments.systems.models import Classifier, hateful
from experiments.systems.published import TrainingRecipe
from experiments.words import bare
from extract.machine import cores
from heads.metrics import auc_roc

SAVE_EVERY = 300.0  # seconds of training that a killed run loses at most, or an epoch if that is shorter
SPENT = "seconds.txt"  # in a checkpoint: wall time of training up to it
WORKERS = 8  # processes that decode images for a GPU
SCHEDULES = {"plateau": "reduce_lr_on_plateau"}  # the others are called as the Trainer calls them


@dataclass(frozen=True)
class Learned:
    """What a training came to; the model holds its weights."""

    best_epoch: int  # 1 is the first; the last one where none was chosen
    steps: int  # of the optimiser
    history: list[dict[str, float]]  # per epoch: train_loss, dev_loss, dev_auc
    seconds: float  # wall time of training, that of killed processes up to their last checkpoint included
    resumed_at: int  # step; 0 if it began at the beginning


def train(
    model: nn.Module, memes: Inputs, dev: Inputs, how: TrainingRecipe, folder: Path, *, seed: int, device: str,
    steps: int | None = None, precision: str = "float32", label: str = "training",
) -> Learned:  # fmt: skip
    """Train `model` (a batch -> [batch, logits]) in place; go on from the last whole checkpoint in `folder`.

    steps: of the optimiser, at most; None: as many as the epochs make.
    precision: "float32", or "bfloat16": products in bfloat16, parameters in float32.
    A run that was killed and goes on ends with the weights of one that was not.
    """
    transformers.logging.set_verbosity_error()
    classifier = Classifier(model, how.softmax_twice).to(device)
    last = last_checkpoint(folder)
    live = TrainingBar(label, last.seconds if last else 0.0)
    trainer = Trainer(
        model=classifier,
        args=arguments(how, folder, seed, device, fewer(steps, how, len(memes)), precision, workers(memes, device)),
        train_dataset=memes,
        eval_dataset=dev,
        data_collator=collate,
        compute_metrics=dev_auc,
        optimizers=(optimiser(classifier, how), None),
        callbacks=[live] + [EarlyStoppingCallback(how.patience, how.least_improvement)] * (how.patience > 0),
    )
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    if last and last.ended(how):
        trainer._load_from_checkpoint(str(last.best(how)))
        state = last.state
    else:
        trainer.train(resume_from_checkpoint=str(last.path) if last else None)
        state = vars(trainer.state)
    model.eval().requires_grad_(False)
    history = epochs(state["log_history"])
    resumed_at = last.state["global_step"] if last else 0
    return Learned(best_epoch(history, how), state["global_step"], history, live.seconds, resumed_at)


@dataclass(frozen=True)
class Checkpoint:
    """One of the Trainer's, written to its end: its state is written last."""

    path: Path
    state: dict[str, Any]  # trainer_state.json

    @property
    def seconds(self) -> float:
        """Of training that it took."""
        return float((self.path / SPENT).read_text()) if (self.path / SPENT).exists() else 0.0

    def ended(self, how: TrainingRecipe) -> bool:
        """Whether training was over, by its last step or by stopping early: the Trainer would train on all the same."""
        return self.state["global_step"] >= self.state["max_steps"] or self.stopped_early(how)

    def stopped_early(self, how: TrainingRecipe) -> bool:
        callback = self.state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
        waited = callback.get("attributes", {}).get("early_stopping_patience_counter", 0)
        return how.patience > 0 and waited >= how.patience

    def best(self, how: TrainingRecipe) -> Path:
        """The checkpoint whose weights an ended training has: its best, wherever the folder now lies, or the last."""
        return self.path.parent / Path(self.state["best_model_checkpoint"]).name if how.patience else self.path


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """The last whole one. Half-written ones are removed: counted among the newest, they would have a whole one thrown
    away."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        try:
            whole.append(Checkpoint(path, json.loads((path / "trainer_state.json").read_text())))
        except (OSError, ValueError):
            shutil.rmtree(path)
    return max(whole, key=lambda each: each.state["global_step"], default=None)


def arguments(
    how: TrainingRecipe, folder: Path, seed: int, device: str, steps: int | None, precision: str, workers: int
) -> TrainingArguments:
    training_arguments = TrainingArguments(
        output_dir=str(folder), seed=seed, data_seed=seed, use_cpu=device == "cpu", bf16=precision == "bfloat16",
        per_device_train_batch_size=how.batch, per_device_eval_batch_size=max(how.batch, 16),
        gradient_accumulation_steps=how.accumulate, num_train_epochs=how.epochs, max_steps=steps or -1,
        learning_rate=how.learning_rate, lr_scheduler_type=SCHEDULES.get(how.schedule, how.schedule),
        warmup_steps=how.warmup, max_grad_norm=how.clip,
        eval_strategy="epoch", save_strategy="epoch", logging_strategy="epoch", save_total_limit=2,
        load_best_model_at_end=how.patience > 0, metric_for_best_model="loss", greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        dataloader_num_workers=workers, dataloader_pin_memory=device != "cpu", remove_unused_columns=False,
        label_names=["labels"], disable_tqdm=True, report_to="none",
    )  # fmt: skip
    # Else the Trainer spreads a batch of every size over all GPUs that it sees, which makes it so many times larger.
    training_arguments._n_gpu = 1
    return training_arguments


def fewer(steps: int | None, how: TrainingRecipe, memes: int) -> int | None:
    """`steps` where the epochs make more; the Trainer would go on beyond its epochs for them."""
    an_epoch = math.ceil(math.ceil(memes / how.batch) / how.accumulate)
    return steps if steps is not None and steps < how.epochs * an_epoch else None


def optimiser(model: nn.Module, how: TrainingRecipe) -> torch.optim.Optimizer:
    """Over what trains. Adam's weight decay is in the gradient, AdamW's is apart from it; SGD ignores it."""
    params = [param for param in model.parameters() if param.requires_grad]
    if how.optimiser == "sgd":
        return torch.optim.SGD(params, lr=how.learning_rate, momentum=how.momentum)
    adam = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[how.optimiser]
    return adam(params, lr=how.learning_rate, weight_decay=how.weight_decay)


def workers(memes: Inputs, device: str) -> int:
    """On a CPU, decoding would only take time from training."""
    return min(WORKERS, cores()) if device != "cpu" and "pixels" in memes.columns else 0


def dev_auc(prediction: transformers.EvalPrediction) -> dict[str, float]:
    logit = torch.from_numpy(np.asarray(prediction.predictions)).float()
    return {"auc": auc_roc(logit[None], torch.from_numpy(np.asarray(prediction.label_ids)).long()).item()}


@torch.inference_mode()
def logits(model: nn.Module, memes: Inputs, device: str, precision: str = "float32", batch: int = 32) -> Tensor:
    """[n] float32 on the CPU, in the memes' order; positive means hateful."""
    model.eval()
    batches: list[Float[Tensor, " batch"]] = []
    for start in tqdm(range(0, len(memes), batch), desc=memes.split, leave=False, disable=None, delay=2):
        rows = collate([memes[row] for row in range(start, min(start + batch, len(memes)))])
        on_device = {name: value.to(device) for name, value in rows.items() if name != "labels"}
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            batches.append(hateful(model(on_device)).float().cpu())
    return torch.cat(batches)


def epochs(log: list[dict[str, float]]) -> list[dict[str, float]]:
    """What the Trainer logged, as one entry an epoch. An epoch that was resumed has its train loss over the rest."""
    loss = {entry["step"]: entry["loss"] for entry in log if "loss" in entry}
    return [
        {"train_loss": loss.get(each["step"], math.nan), "dev_loss": each["eval_loss"], "dev_auc": each["eval_auc"]}
        for each in log
        if "eval_loss" in each
    ]


def best_epoch(history: list[dict[str, float]], how: TrainingRecipe) -> int:
    if not how.patience or not history:
        return len(history)
    return 1 + min(range(len(history)), key=lambda epoch: history[epoch]["dev_loss"])


class TrainingBar(TrainerCallback):
    """A bar of steps on stderr, and a checkpoint whenever SAVE_EVERY has passed since the last one."""

    def __init__(self, label: str, spent: float = 0.0) -> None:
        """spent: seconds that processes before this one trained."""
        self.label = label
        self.began = time.monotonic() - spent
        self.saved = time.monotonic()
        self.bar: Any = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()
        how: dict[str, Any] = {"unit": "step", "leave": False, "disable": None}
        self.bar = tqdm(desc=self.label, total=state.max_steps, initial=state.global_step, **how)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update(state.global_step - self.bar.n)
        # The last step of an epoch and that of the run are saved after dev was scored: gone on from before that, a run
        # would not score it.
        ends = float(state.epoch).is_integer() or state.global_step >= state.max_steps
        if time.monotonic() - self.saved > SAVE_EVERY and not ends:
            control.should_save = True  # looks at no random number: the run is the same with it and without

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / SPENT).write_text(f"{self.seconds}")

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(f"dev AUC-ROC {bare(given['metrics']['eval_auc'])}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()
