"""What the stages are measured against: the usual notebook's extraction, plain PyTorch's training, scikit-learn's MLP.

`python -m experiments.bench.alternatives JOB.json` trains the plain PyTorch way, and imports nothing of ours for it:
one run after the other, a DataLoader over a TensorDataset, float32, nn.Dropout, torch.optim.AdamW, torch's
AveragedModel, dev AUC-ROC by scikit-learn after each epoch; architecture, settings and epochs are our heads'.
"""

import copy
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import h5py
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from extract.dataset import Meme
    from extract.encoders.family import Located

NOTEBOOK_BATCH = 32  # rows
AVERAGED_EVERY = 4  # steps, as in heads.stack
SQUARED_NORM = 16  # mean squared norm of a standardised vector, as in heads.rows


class Notebook:
    """The usual notebook's way of extracting one modality, in a process of its own, as a context manager.

    float32, batches in file order, texts padded to the longest of their batch, images by Pillow in the main process,
    NCHW, BatchNorm as it comes. It has what a notebook has: not the settings of malloc and OpenMP that our own commands
    make for themselves.
    """

    def __init__(self, located: "Located", device: str) -> None:
        self.process = ProcessPoolExecutor(1, get_context("spawn"), initializer=_load, initargs=(located, device))

    def __enter__(self) -> "Notebook":
        with mock.patch.dict(os.environ):
            os.environ.pop("GOMP_SPINCOUNT", None)
            self.process.submit(bool, _encode).result()  # starts it, with the encoder loaded
        return self

    def seconds(self, memes: Sequence["Meme"], path: Path) -> float:
        """Return the wall time of extracting these memes' vectors into an HDF5 file."""
        return self.process.submit(_extract, memes, path).result()

    def __exit__(self, *_: object) -> None:
        self.process.shutdown()


_encode: list[Any] = []  # in the notebook's process: memes of a batch -> vectors


def _load(located: "Located", device: str) -> None:
    if located.kind == "text":
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(located.path)
        model = AutoModel.from_pretrained(located.path).float().eval().to(device)

        def encode(memes: Sequence["Meme"]) -> Tensor:
            texts = [meme.text for meme in memes]
            batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
            return model(**batch.to(device)).last_hidden_state[:, 0]

    else:
        from PIL import Image

        from extract import encoders

        net, to = encoders.unfrozen(located).to(device), encoders.decoder(located)
        assert to is not None  # of images

        def encode(memes: Sequence["Meme"]) -> Tensor:
            images = [Image.open(BytesIO(meme.image.read_bytes())).convert("RGB") for meme in memes]
            pixels = [np.array(image.resize((to.width, to.height), to.resample)) for image in images]
            batch = torch.stack([torch.from_numpy(each).permute(2, 0, 1).contiguous() for each in pixels])
            return net.net(net.normalise(batch.to(device)))

    _encode.append(encode)


@torch.no_grad()
def _extract(memes: Sequence["Meme"], path: Path) -> float:
    start = time.perf_counter()
    batches = [memes[first : first + NOTEBOOK_BATCH] for first in range(0, len(memes), NOTEBOOK_BATCH)]
    vectors = [_encode[0](batch).cpu().numpy() for batch in batches]
    with h5py.File(path, "w") as file:
        file["vector"] = np.concatenate(vectors)
    return time.perf_counter() - start


class PlainHead(nn.Module):
    """Any of the four heads that are compared, on [batch, dim] vectors."""

    def __init__(self, head: str, text_dim: int, image_dim: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.head = head
        inputs = {"text": [text_dim], "image": [image_dim], "early": [text_dim + image_dim]}
        self.branches = nn.ModuleList(_mlp(width, settings) for width in inputs.get(head, [text_dim, image_dim]))
        self.weight = nn.Parameter(torch.full((2,), 0.5)) if head == "late" else None

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        if self.weight is not None:
            return self.weight[0] * self.branches[0](text)[:, 0] + self.weight[1] * self.branches[1](image)[:, 0]
        seen = {"text": text, "image": image}.get(self.head)
        return self.branches[0](torch.cat([text, image], dim=1) if seen is None else seen)[:, 0]


def _mlp(inputs: int, settings: dict[str, Any]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(settings["depth"]):
        layers += [nn.Linear(inputs, settings["hidden"]), nn.ReLU(), nn.Dropout(settings["dropout"])]
        inputs = settings["hidden"]
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def train_plain(
    head: str, splits: dict[str, list[Tensor]], settings: dict[str, Any], epochs: int, device: str
) -> float:
    """Train one run. Returns test AUC-ROC of the epoch with the best dev AUC-ROC."""
    torch.manual_seed(settings["seed"])
    text, image, label = splits["train"]
    model = PlainHead(head, text.shape[1], image.shape[1], settings).to(device)
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
    best, best_state = -1.0, averaged.state_dict()
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
        auc = _auc_roc(averaged, splits["dev"], device)
        if auc > best:
            best, best_state = auc, copy.deepcopy(averaged.state_dict())
    averaged.load_state_dict(best_state)
    return _auc_roc(averaged, splits["test"], device)


@torch.no_grad()
def _auc_roc(model: nn.Module, split: list[Tensor], device: str) -> float:
    model.eval()
    text, image, label = split
    batches = DataLoader(TensorDataset(text, image), batch_size=256)
    logits = [model(*(vec.to(device) for vec in batch)) for batch in batches]
    return float(roc_auc_score(label.numpy(), torch.cat(logits).cpu().numpy()))


def read_vectors(features: Sequence[str]) -> dict[str, list[Tensor]]:
    """Read text vectors, image vectors and labels by split, standardised on train. Both folders hold the same rows."""
    splits: dict[str, list[Tensor]] = {split: [] for split in ("train", "dev", "test")}
    for folder in features:
        scaler = StandardScaler()
        for split, tensors in splits.items():
            with h5py.File(Path(folder) / f"{split}.h5") as file:
                vectors, label = file["vector"][:], file["label"][:]
            scaled = scaler.fit_transform(vectors) if split == "train" else scaler.transform(vectors)
            # as heads scale them: one mean squared norm for both sides, so that one learning rate suits both
            tensors.append(torch.from_numpy(scaled) * (SQUARED_NORM / scaled.shape[1]) ** 0.5)
            if len(tensors) == 2:
                tensors.append(torch.from_numpy(label).float())
    return splits


def mlp_classifier(features: Sequence[str], settings: dict[str, Any], epochs: int) -> tuple[float, float]:
    """Train scikit-learn's MLPClassifier on both vectors: one run, no dropout (it has none), no early stop.

    Returns seconds of training, and test AUC-ROC.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    splits = read_vectors(features)
    train_vec, test_vec = (torch.cat(splits[split][:2], dim=1).numpy() for split in ("train", "test"))
    train_label, test_label = (splits[split][2].numpy() for split in ("train", "test"))
    batch_size = min(settings["batch_size"], len(train_vec))
    passes = epochs * -(-settings["min_steps"] // -(-len(train_vec) // settings["batch_size"]))
    model = MLPClassifier(
        (settings["hidden"],) * settings["depth"], batch_size=batch_size, learning_rate_init=settings["learning_rate"],
        max_iter=passes, tol=0.0, n_iter_no_change=passes + 1, random_state=settings["seed"],
    )  # fmt: skip
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is asked to stop after so many epochs
        model.fit(train_vec, train_label)
    seconds = time.perf_counter() - start
    return seconds, float(roc_auc_score(test_label, model.predict_proba(test_vec)[:, 1]))


def main(argv: list[str]) -> None:
    """Train JOB.json: features (folders of text and image), settings and epochs by head (one per seed), device.

    Prints seconds by head and test AUC-ROC by head and run, a JSON object.
    """
    job = json.loads(Path(argv[0]).read_text())
    splits = read_vectors(job["features"])
    auc: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for head, runs in job["runs"].items():
        start = time.perf_counter()
        auc[head] = [train_plain(head, splits, run["settings"], run["epochs"], job["device"]) for run in runs]
        seconds[head] = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "auc": auc}))


if __name__ == "__main__":
    main(sys.argv[1:])
