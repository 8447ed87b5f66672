"""Stage 1 itself, with its encoder loaded once, so that a benchmark can repeat the rest."""

import os
import time
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from extract import encoders, engine, publish, stage
from extract.config import ExtractConfig


class Pipeline:
    """Everything that `python -m extract` does for one modality of a dataset's train split."""

    def __init__(self, kind: str, name: str, data: Path, device: str) -> None:
        other = {"text": "image_encoder", "image": "text_encoder"}[kind]
        self.options: dict[str, Any] = {
            "data": data,
            "device": device,
            f"{kind}_encoder": name,
            other: "none",
            "quiet": True,
        }
        encoder = stage.choose_encoders(ExtractConfig(**self.options))[0]
        self.kind, self.located, self.device = kind, encoder.located, encoder.device
        where = {"device": encoder.device, "dtype": encoder.dtype}
        self.encoder: Any = encoders.load(encoder.located, max_tokens=128, **where)

    def run(self, features: Path) -> None:
        """From files to a published HDF5."""
        config = ExtractConfig(**self.options, features=features)
        with (
            open(os.devnull, "w") as sink,
            redirect_stderr(sink),
            mock.patch.object(encoders, "load", return_value=self.encoder),
        ):
            encoder = stage.choose_encoders(config)[0]
            splits = stage.read_splits(config, ["train"])
            bad = stage.encode(encoder, splits, config)
            publish.publish([encoder.folder], splits, bad, skip=True)

    def published(self, features: Path) -> Path:
        return features / self.located.slug / "train.h5"

    def roof_seconds(self, batches: int) -> float:
        """Seconds a row of the encoder alone, on ready tensors, at the batch size that stage 1 uses."""
        size = engine.BATCH_SIZE[self.device]
        if self.kind == "image":
            rng = np.random.default_rng(0)
            pixels = torch.from_numpy(rng.integers(0, 256, (size, 224, 224, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
            ready: Any = pixels.to(self.device)
            encode = self.encoder.vectors
        else:
            size = size * 128 // 32
            ready = [[101, *range(2000, 2030), 102]] * size
            encode = self.encoder.encode
        with engine.batches_at_once(self.encoder.device, engine.BATCH_SIZE[self.device]) as each_of:
            for _ in range(2):  # the first warms up
                start = time.perf_counter()
                list(each_of(encode, [ready] * batches))[-1].cpu()
                seconds = time.perf_counter() - start
        return seconds / (batches * size)
