"""Memes, encoders with random weights and random vectors with a planted signal: what speed needs, without a network."""

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from extract import store
from extract.machine import cores

BERT: dict[str, Any] = {}  # transformers' own defaults are BERT-base's: 12 layers, 768 wide, 30,522 word pieces
BLOCKS = (3, 4, 6, 3)  # ResNet-50's, a stage
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
# beside ResNet-50: transformers' type of model, its settings, and the side of its images in pixels
VISION: dict[str, tuple[str, dict[str, int], int]] = {
    "CLIP-ViT-B-32": ("clip_vision_model", BASE | {"image_size": 224, "patch_size": 32}, 224),
    "CLIP-ViT-L-14-336": ("clip_vision_model", LARGE | {"image_size": 336, "patch_size": 14}, 336),
    "SigLIP-B-16-224": ("siglip_vision_model", BASE | {"image_size": 224, "patch_size": 16}, 224),
    "DINOv2-B-14": ("dinov2", BASE | {"image_size": 518, "patch_size": 14}, 224),
}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BRANCH_SCALE = 0.25  # of each residual branch; at 1 the activations would double with every block
WORD = re.compile(r"\w+|[^\w\s]")

BLOCK = 8192  # rows drawn at a time
STRENGTH = 2.0  # of a hint along its direction, in standard deviations of the noise on each column
WEIGHTS = {"text": 1.0, "image": 1.0, "both": 1.5, "noise": 1.2}  # of what makes a label
NAMES = {"text": "random-text", "image": "random-image"}  # folders


def draw_memes(folder: Path, rows: int) -> Path:
    """Draw a sample set with `rows` train memes, without a word."""
    from extract.sample import SampleSettings, draw

    draw(folder, SampleSettings(rows, 4, 4), progress=False)
    return folder


def write_as(form: str, paths: Iterable[Path]) -> None:
    """Write these pictures as "PNG" or "JPEG", over what they are; their names stay."""
    from PIL import Image

    def write(path: Path) -> None:
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
        rgb.save(path, form)

    with ThreadPoolExecutor(cores()) as pool:
        deque(pool.map(write, paths), maxlen=0)


def write_text_encoder(folder: Path, texts: Iterable[str]) -> Path:
    """Write BERT-base, and a tokenizer that has every word of `texts` whole: as BERT's has nearly all of English."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer, logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = BertConfig(**BERT)
    BertModel(config).save_pretrained(folder)
    words = sorted({word for text in texts for word in WORD.findall(text.lower())})
    pieces = [*SPECIALS, *words][: config.vocab_size]
    BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}).save_pretrained(folder)
    return folder


def write_vision_encoder(folder: Path, name: str) -> Path:
    """Write one of VISION, with an image processor."""
    import torch
    from transformers import AutoConfig, AutoModel, logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    kind, settings, side = VISION[name]
    AutoModel.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(folder)
    halves = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": side, "resample": 3, **halves}))
    return folder


def write_image_encoder(folder: Path) -> Path:
    """Write the one of VISION after which the folder is named, else ResNet-50.

    No weight is zero: a GPU multiplies zeros faster than numbers.
    """
    if folder.name in VISION:
        return write_vision_encoder(folder, folder.name)
    import torch
    from safetensors.torch import save_file
    from torchvision.models.resnet import Bottleneck, ResNet

    torch.manual_seed(0)
    net = ResNet(Bottleneck, list(BLOCKS))
    for module in net.modules():
        if isinstance(module, Bottleneck):
            torch.nn.init.constant_(module.bn3.weight, BRANCH_SCALE)
    folder.mkdir(parents=True)
    save_file(net.state_dict(), folder / "model.safetensors")
    return folder


def publish_vectors(
    folder: Path, sizes: Mapping[str, int], dims: tuple[int, int], seed: int = 0, shard_rows: int = store.SHARD_ROWS
) -> Path:
    """Publish `sizes` rows by split, `dims` wide (text, image), as extract does; memory does not grow with rows.

    A text tells two things of +-1, an image two others. A label follows one of each, the product of the other two
    (which only early fusion can see) and noise.
    """
    for number, (split, size) in enumerate(sizes.items()):
        draw = np.random.default_rng([seed, number])
        told = draw.choice(np.array([-1, 1], np.int8), size=(size, 4))
        evidence = WEIGHTS["text"] * told[:, 0] + WEIGHTS["image"] * told[:, 1]
        evidence = evidence + WEIGHTS["both"] * told[:, 2] * told[:, 3] + WEIGHTS["noise"] * draw.normal(size=size)
        label = (evidence > 0).astype(np.int8)
        for side, (kind, dim) in enumerate(zip(NAMES, dims, strict=True)):
            path = folder / NAMES[kind] / f"{split}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            blocks = _blocks(told[:, side::2], dim, seed, number, side)
            with ExitStack() as renames:
                store.publish_split(path, _rows(kind, split, label, dim), lambda _: blocks, shard_rows, renames)  # noqa: B023
    return folder


def _blocks(hints: np.ndarray, dim: int, seed: int, split: int, side: int) -> Iterator[store.Block]:
    """Yield row numbers and vectors: noise, and each hint along a direction of its own, the same in every split."""
    drawn = np.random.default_rng([seed, 1000 + side]).normal(size=(2, dim))
    directions = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    draw = np.random.default_rng([seed, split, side])
    for start in range(0, len(hints), BLOCK):
        part = hints[start : start + BLOCK].astype(np.float32)
        noise = draw.standard_normal((len(part), dim), dtype=np.float32)
        yield np.arange(start, start + len(part)), noise + STRENGTH * part @ directions


def _rows(kind: str, split: str, label: np.ndarray, dim: int) -> store.SplitRows:
    settings = {"name": NAMES[kind], "precision": "float32"}
    numbers = range(len(label))
    width = len(str(len(label)))
    return store.SplitRows(
        identity=store.EncoderIdentity(kind, NAMES[kind], dim, store.fingerprint(settings), settings, {}),
        split=split,
        ids=np.array([f"{split}-{row:0{width}}" for row in numbers]),
        label=label,
        content=np.array([hashlib.sha256(f"{kind} {split} {row}".encode()).hexdigest() for row in numbers], "S"),
        dropped=[],
        tokens=np.full(len(label), 12, np.int32) if kind == "text" else None,
    )
