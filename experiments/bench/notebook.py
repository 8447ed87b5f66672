"""The usual notebook's way of extracting vectors: the baseline that stage 1 is measured against."""

from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from extract.catalogue import Located
from extract.contents import Source
from extract.dataset import Meme

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
        from extract import image_model

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


def _save(path: Path, vectors: list[np.ndarray]) -> None:
    with h5py.File(path, "w") as file:
        file["vector"] = np.concatenate(vectors)
