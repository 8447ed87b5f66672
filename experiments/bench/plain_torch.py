"""The plain PyTorch way of training the heads: the baseline that stage 2 is measured against.

One run after the other, a DataLoader over a TensorDataset, float32, nn.Dropout, torch.optim.AdamW, torch's
AveragedModel, dev AUC-ROC by scikit-learn after each epoch. Same architecture, settings and epochs as ours; nothing of
ours is imported.

`python -m experiments.bench.plain_torch JOB.json` trains a job and prints seconds and test AUC-ROC, a JSON object.
"""

import copy
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import torch
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

AVERAGED_EVERY = 4  # steps, as in heads.stack
SQUARED_NORM = 16  # mean squared norm of a standardised vector, as in heads.rows
SETTINGS = {  # that this baseline honours: `patience` and `max_epochs` by the number of epochs that it is told to train
    "hidden", "depth", "dropout", "learning_rate", "weight_decay", "batch_size", "min_steps",
    "averaging", "max_epochs", "patience", "balance", "seed",
}  # fmt: skip


class Head(nn.Module):
    """Any of the four heads, on [batch, dim] vectors."""

    def __init__(self, head: str, text_dim: int, image_dim: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.head = head
        inputs = {"text": [text_dim], "image": [image_dim], "early": [text_dim + image_dim]}
        self.branches = nn.ModuleList(mlp(width, settings) for width in inputs.get(head, [text_dim, image_dim]))
        self.weight = nn.Parameter(torch.full((2,), 0.5)) if head == "late" else None

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        if self.weight is not None:
            return self.weight[0] * self.branches[0](text)[:, 0] + self.weight[1] * self.branches[1](image)[:, 0]
        seen = {"text": text, "image": image}.get(self.head)
        return self.branches[0](torch.cat([text, image], dim=1) if seen is None else seen)[:, 0]


def mlp(inputs: int, settings: dict[str, Any]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(settings["depth"]):
        layers += [nn.Linear(inputs, settings["hidden"]), nn.ReLU(), nn.Dropout(settings["dropout"])]
        inputs = settings["hidden"]
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def train(head: str, splits: dict[str, list[Tensor]], settings: dict[str, Any], epochs: int, device: str) -> float:
    """Train one run; returns test AUC-ROC of the epoch with the best dev AUC-ROC."""
    torch.manual_seed(settings["seed"])
    text, image, label = splits["train"]
    model = Head(head, text.shape[1], image.shape[1], settings).to(device)
    decayed = [param for param in model.parameters() if param.ndim == 2]
    others = [param for param in model.parameters() if param.ndim < 2]
    groups = [{"params": decayed, "weight_decay": settings["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings["learning_rate"])
    loader = DataLoader(TensorDataset(text, image, label), batch_size=settings["batch_size"], shuffle=True)
    loss_of = nn.BCEWithLogitsLoss()
    passes = math.ceil(settings["min_steps"] / len(loader))
    decay = settings["averaging"] ** AVERAGED_EVERY

    def running(mean: Tensor, step: Tensor, taken: Tensor | int) -> Tensor:
        return mean + (step - mean) * (1 - decay) / (1 - decay ** (taken + 1))

    averaged = AveragedModel(model, avg_fn=running)
    best, kept = -1.0, averaged.state_dict()
    for _ in range(epochs):
        model.train()
        for _ in range(passes):
            for step, (texts, images, labels) in enumerate(loader):
                optimiser.zero_grad()
                loss = loss_of(model(texts.to(device), images.to(device)), labels.to(device))
                loss.backward()
                optimiser.step()
                if step % AVERAGED_EVERY == 0:
                    averaged.update_parameters(model)
        auc = area(averaged, splits["dev"], device)
        if auc > best:
            best, kept = auc, copy.deepcopy(averaged.state_dict())
    averaged.load_state_dict(kept)
    return area(averaged, splits["test"], device)


@torch.no_grad()
def area(model: nn.Module, split: list[Tensor], device: str) -> float:
    """AUC-ROC on a split."""
    model.eval()
    text, image, label = split
    logits = [
        model(*(vec.to(device) for vec in part)) for part in DataLoader(TensorDataset(text, image), batch_size=256)
    ]
    return float(roc_auc_score(label.numpy(), torch.cat(logits).cpu().numpy()))


def read(features: dict[str, str]) -> dict[str, list[Tensor]]:
    """Text vectors, image vectors and labels by split, standardised on train. The two sides hold the same rows."""
    splits: dict[str, list[Tensor]] = {split: [] for split in ("train", "dev", "test")}
    for folder in features.values():
        scaler = StandardScaler()
        for split, held in splits.items():
            with h5py.File(Path(folder) / f"{split}.h5") as file:
                vectors, label = file["vector"][:], file["label"][:]
            scaled = scaler.fit_transform(vectors) if split == "train" else scaler.transform(vectors)
            # as heads scale them: one mean squared norm for both sides, so that one learning rate suits both
            held.append(torch.from_numpy(scaled) * (SQUARED_NORM / scaled.shape[1]) ** 0.5)
            if len(held) == 2:
                held.append(torch.from_numpy(label).float())
    return splits


def main(argv: list[str]) -> None:
    """JOB.json: features (folders by kind), settings and epochs by head (one per seed), device."""
    start = time.perf_counter()
    job = json.loads(Path(argv[0]).read_text())
    splits = read(job["features"])
    auc: dict[str, list[float]] = {}
    seconds: dict[str, float] = {"read": time.perf_counter() - start}
    for head, runs in job["runs"].items():
        start = time.perf_counter()
        auc[head] = [train(head, splits, run["settings"], run["epochs"], job["device"]) for run in runs]
        seconds[head] = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "auc": auc}))


if __name__ == "__main__":
    main(sys.argv[1:])
