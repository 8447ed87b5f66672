"""The usual notebook's way of extracting vectors: the baseline that stage 1 is measured against."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path
from types import TracebackType
from unittest import mock

import h5py
import numpy as np
import torch
from PIL import Image

from extract.dataset import Meme
from extract.encoders.catalogue import Located
from extract.places import Source

BATCH = 32  # rows


class TextNotebook:
    """float32, batches in file order, padded to the longest text of the batch."""

    def __init__(self, located: Located, device: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(located.path)
        self.model = AutoModel.from_pretrained(located.path).float().eval().to(device)
        self.device = device

    @torch.no_grad()
    def run(self, memes: list[Meme], path: Path) -> None:
        vectors = []
        for start in range(0, len(memes), BATCH):
            texts = [meme.text for meme in memes[start : start + BATCH]]
            batch = self.tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
            vectors.append(self.model(**batch.to(self.device)).last_hidden_state[:, 0].cpu().numpy())
        _save(path, vectors)


class ImageNotebook:
    """float32, NCHW, BatchNorm as it comes, Pillow in the main process."""

    def __init__(self, located: Located, device: str) -> None:
        from extract.encoders import image_model

        self.normalise, model = image_model.read(located)
        self.model = model.to(device)
        self.device = device

    @torch.no_grad()
    def run(self, memes: list[Meme], path: Path) -> None:
        vectors = []
        for start in range(0, len(memes), BATCH):
            batch = torch.stack([self._pixels(meme.image) for meme in memes[start : start + BATCH]])
            vectors.append(self.model(self.normalise(batch).to(self.device)).cpu().numpy())
        _save(path, vectors)

    def _pixels(self, source: Source) -> torch.Tensor:
        image = Image.open(BytesIO(source.read_bytes())).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


class Notebook:
    """One of the two in a process of its own, as a context manager.

    It has what a notebook has: not the settings of malloc and OpenMP that our own commands make for themselves.
    """

    def __init__(self, kind: str, located: Located, device: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, spawn, initializer=_load, initargs=(kind, located, device))

    def __enter__(self) -> "Notebook":
        with mock.patch.dict(os.environ):
            os.environ.pop("GOMP_SPINCOUNT", None)
            self.process.submit(_loaded).result()
        return self

    def seconds(self, memes: list[Meme], path: Path) -> float:
        """To extract these memes' vectors into an HDF5 file."""
        return self.process.submit(_timed, memes, path).result()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.shutdown()


_here: list[TextNotebook | ImageNotebook] = []  # in its process


def _load(kind: str, located: Located, device: str) -> None:
    _here.append((TextNotebook if kind == "text" else ImageNotebook)(located, device))


def _loaded() -> bool:
    return bool(_here)


def _timed(memes: list[Meme], path: Path) -> float:
    start = time.perf_counter()
    _here[0].run(memes, path)
    return time.perf_counter() - start


def _save(path: Path, vectors: list[np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file["vector"] = np.concatenate(vectors)
