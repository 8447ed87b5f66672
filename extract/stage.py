"""Stage 1's steps, in the order in which `python -m extract` takes them."""

import importlib.metadata
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from extract import catalogue, contents, dataset, image_encoders, images, text_encoders
from extract.ahead import ahead
from extract.config import ExtractConfig
from extract.contents import Source
from extract.dataset import HashedSplit
from extract.device import resolve_device, resolve_dtype
from extract.errors import Failed, Refused
from extract.parts import Folder, Held
from extract.plan import Item, by_length, cut, unique
from extract.progress import bar, say

LIBRARIES = {"text": ("memefuse", "torch", "transformers"), "image": ("memefuse", "torch", "torchvision", "pillow")}


@dataclass(frozen=True)
class Encoder:
    """One modality's encoder, located but not loaded, and the folder that its vectors go to."""

    located: catalogue.Located
    folder: Folder
    device: str  # "cpu" or "cuda"
    dtype: str  # "float32", "bfloat16" or "float16"

    @property
    def kind(self) -> str:
        return self.located.kind


def choose_encoders(config: ExtractConfig) -> list[Encoder]:
    """Locate what is asked for, images first: a meme whose image fails loses its text too.

    Raises Refused for every encoder that cannot be had, all together.
    """
    device = resolve_device(config.device)
    dtype = resolve_dtype(config.dtype, device)
    encoders, refusals = [], []
    for kind, name in (("image", config.image_encoder), ("text", config.text_encoder)):
        if name != "none":
            try:
                encoders.append(_choose(kind, name, device, dtype, config))
            except Refused as refusal:
                refusals.append(str(refusal))
    if refusals:
        raise Refused("\n\n".join(refusals))
    return encoders


def _choose(kind: str, name: str, device: str, dtype: str, config: ExtractConfig) -> Encoder:
    located = catalogue.locate(kind, name)
    if kind == "text":
        settings = text_encoders.settings(located, dtype=dtype, max_tokens=config.max_tokens)
    else:
        settings = image_encoders.settings(located, dtype=dtype) | {"transform": images.TRANSFORM}
    versions = {library: _version(library) for library in LIBRARIES[kind]}
    return Encoder(located, Folder(config.features / located.slug, kind, settings, versions), device, dtype)


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a checkout


def read_splits(config: ExtractConfig, names: Sequence[str]) -> list[HashedSplit]:
    """Read and check every split, hash its contents, and say what the splits share.

    Raises Refused with every fault of every split, unless they are to be skipped.
    """
    with_images = config.image_encoder != "none"
    if with_images and dataset.unpack_images(config.data):
        say(f"unpacked {config.data / dataset.ARCHIVE}")
    splits = [dataset.read(config.data, name, images=with_images) for name in names]
    if config.on_error == "stop":
        dataset.refuse_faults(splits)
    digests = _image_digests([meme.image for split in splits for meme in split.memes], config) if with_images else None
    hashed = []
    for split in splits:
        content = {"text": [meme.text_content for meme in split.memes]}
        if digests is not None:
            content["image"] = [next(digests) for _ in split.memes]
        hashed.append(HashedSplit(split.name, split.memes, content, split.faults))
    _say_overlaps(hashed)
    return hashed


def _image_digests(sources: Sequence[Source], config: ExtractConfig) -> Iterator[str]:
    threads = contents.readers(sources[0], len(os.sched_getaffinity(0))) if sources else 1
    with ThreadPoolExecutor(threads) as pool:
        digests = ahead(pool, dataset.file_digest, sources, window=64 * threads)
        yield from bar(digests, "reading images", len(sources), "images", config.quiet)


def _say_overlaps(splits: Sequence[HashedSplit]) -> None:
    keys = {"ids": {split.name: [meme.id for meme in split.memes] for split in splits}}
    for kind, what in (("text", "texts"), ("image", "images")):
        keys[what] = {split.name: split.content[kind] for split in splits if kind in split.content}
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for what, by_split in keys.items():
        for pair, count in dataset.overlaps(by_split).items():
            shared[pair].append(f"{count:,} {what}")
    for (one, other), counts in shared.items():
        say(f"note: {one} and {other} share {', '.join(counts)}")


def encode(encoder: Encoder, splits: Sequence[HashedSplit], config: ExtractConfig) -> dict[str, str]:
    """Encode what this encoder's folder does not hold yet, in parts. Returns content -> reason for bad images."""
    held = Held.scan(encoder.folder)
    items = [
        Item(content, meme.text if encoder.kind == "text" else meme.image)
        for split in splits
        for meme, content in zip(split.memes, split.content[encoder.kind], strict=True)
    ]
    left = unique(items, held)
    reused = len({item.content for item in items} - {item.content for item in left})
    if not left:
        say(f"{encoder.located.slug}: nothing to encode, {reused:,} {encoder.kind}s held already")
        return {}

    import torch  # late: a run that has nothing to encode needs no encoder

    batch_size = config.batch_size
    while True:
        try:
            return _encode_left(encoder, left, reused, batch_size, config)
        except torch.OutOfMemoryError:
            from extract.engine import BATCH_SIZE

            batch_size = (batch_size or BATCH_SIZE[encoder.device]) // 2
            if batch_size == 0:
                raise Failed(f"{encoder.located.slug}: the GPU's memory does not hold one {encoder.kind}") from None
            torch.cuda.empty_cache()
            say(f"{encoder.located.slug}: GPU memory is full; going on with batch size {batch_size}")
            left = unique(left, Held.scan(encoder.folder))


def _encode_left(
    encoder: Encoder, left: list[Item], reused: int, batch_size: int | None, config: ExtractConfig
) -> dict[str, str]:
    from extract import engine

    where: dict[str, Any] = {"device": encoder.device, "dtype": encoder.dtype, "compile": config.compile}
    batch_size = batch_size or engine.BATCH_SIZE[encoder.device]
    label = f"{encoder.located.slug} ({reused:,} reused)" if reused else encoder.located.slug
    if encoder.kind == "image":
        image_encoder = image_encoders.load(encoder.located, **where)
        rows = engine.part_rows("image", encoder.device, image_encoder.dim, batch_size)
        with bar(None, label, len(left), f"{encoder.kind}s", config.quiet) as rows_bar:
            bad = engine.encode_images(cut(left, rows), image_encoder, encoder.folder, batch_size, rows_bar.update)
        return {image.content: image.reason for image in bad}
    text_encoder = text_encoders.load(encoder.located, max_tokens=config.max_tokens, **where)
    rows = engine.part_rows("text", encoder.device, text_encoder.dim, batch_size)
    lengths = dict(zip(left, engine.text_lengths([str(item.source) for item in left], text_encoder), strict=True))
    parts = cut(by_length(left, lengths.__getitem__), rows)
    with bar(None, label, len(left), f"{encoder.kind}s", config.quiet) as rows_bar:
        engine.encode_texts(parts, text_encoder, encoder.folder, batch_size, rows_bar.update)
    return {}
