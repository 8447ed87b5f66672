"""Stage 1's steps, in the order in which `python -m extract` takes them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from extract import contents, dataset, images, publish, versions
from extract.ahead import ahead
from extract.config import ExtractConfig
from extract.contents import Source
from extract.dataset import HashedSplit
from extract.encoders import catalogue, image_encoders, text_encoders
from extract.errors import Failed, Refused
from extract.machine import cores, resolve_device, resolve_dtype
from extract.parts import Folder, Held
from extract.plan import Item, Part, by_length, cut, unique
from extract.progress import bar, say


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


class Engine(Protocol):
    """Turns a plan into part files."""

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        """Device ("cpu" or "cuda") and dtype to encode with."""

    def encode(self, encoder: Encoder, left: list[Item], label: str, config: ExtractConfig) -> dict[str, str]:
        """Encode and write what is left. label: of its progress bar. Returns content -> reason for bad images."""


class LocalEngine:
    """This process, and the processor or GPU of this machine."""

    def processor(self, config: ExtractConfig) -> tuple[str, str]:
        device = resolve_device(config.device)
        return device, resolve_dtype(config.dtype, device)

    def encode(self, encoder: Encoder, left: list[Item], label: str, config: ExtractConfig) -> dict[str, str]:
        import torch  # late: a run that has nothing to encode needs no encoder

        from extract.engine import BATCH_SIZE

        batch_size = config.batch_size or BATCH_SIZE[encoder.device]
        while True:
            try:
                return _encode_here(encoder, left, label, batch_size, config)
            except torch.OutOfMemoryError:
                batch_size //= 2
                if batch_size == 0:
                    raise Failed(f"{encoder.located.slug}: the GPU's memory does not hold one {encoder.kind}") from None
                torch.cuda.empty_cache()
                say(f"{encoder.located.slug}: GPU memory is full; going on with batch size {batch_size}")
                left = unique(left, Held.scan(encoder.folder))


def choose_engine(config: ExtractConfig, until: ExitStack) -> Engine:
    """The engine asked for; what it opens is closed with `until`. Raises Refused if it is not installed."""
    if config.engine == "local":
        return LocalEngine()
    from extract.ray_engine.engine import RayEngine

    return until.enter_context(RayEngine(config.address))


def choose_encoders(config: ExtractConfig, engine: Engine | None = None) -> list[Encoder]:
    """Locate what is asked for, images first: a meme whose image fails loses its text too.

    Raises Refused for every encoder that cannot be had, all together.
    """
    device, dtype = (engine or LocalEngine()).processor(config)
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
    folder = Folder(config.features / located.slug, kind, settings, versions.installed(kind))
    return Encoder(located, folder, device, dtype)


def read_splits(config: ExtractConfig, names: Sequence[str]) -> list[HashedSplit]:
    """Read and check every split, hash its contents, and say what the splits share.

    Raises Refused with every fault of every split, unless they are to be skipped.
    """
    with_images = config.image_encoder != "none"
    if with_images and dataset.unpack_images(config.data):
        say(f"unpacked {config.data / dataset.ARCHIVE}")
    splits = [dataset.read(config.data, name, images=with_images) for name in names]
    if config.on_error == "stop":
        dataset.refuse_faults(splits, config.features)
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
    threads = contents.readers(sources[0], cores()) if sources else 1
    pool = ThreadPoolExecutor(threads)
    try:
        digests = ahead(pool, dataset.file_digest, sources, window=64 * threads)
        yield from bar(digests, "reading images", len(sources), "images", config.quiet)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for what is queued


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


def encode(
    encoder: Encoder, splits: Sequence[HashedSplit], config: ExtractConfig, engine: Engine | None = None
) -> dict[str, str]:
    """Encode what this encoder's folder does not hold yet, in parts. Returns content -> reason for bad images."""
    held = Held.scan(encoder.folder)
    items = [
        Item(content, meme.text if encoder.kind == "text" else meme.image)
        for split in splits
        for meme, content in zip(split.memes, split.content[encoder.kind], strict=True)
    ]
    if not _copies_nothing(encoder, splits, items, held, config):
        held = Held.sound(encoder.folder, {item.content for item in items})
    left = unique(items, held)
    reused = len({item.content for item in items} - {item.content for item in left})
    if not left:
        say(f"{encoder.located.slug}: nothing to encode, {reused:,} {encoder.kind}s held already")
        return {}
    label = f"{encoder.located.slug} ({reused:,} reused)" if reused else encoder.located.slug
    return (engine or LocalEngine()).encode(encoder, left, label, config)


def _copies_nothing(
    encoder: Encoder, splits: Sequence[HashedSplit], items: Sequence[Item], held: Held, config: ExtractConfig
) -> bool:
    """Whether this run will leave every published file as it is. Only then is it spared reading them in full."""
    # what skipping leaves out is known only once every image is decoded
    if config.on_error == "skip" or unique(items, held):
        return False
    return publish.up_to_date(encoder.folder, splits, held, config.shard_rows)


def _encode_here(
    encoder: Encoder, left: list[Item], label: str, batch_size: int, config: ExtractConfig
) -> dict[str, str]:
    from extract import engine

    loaded = load(encoder, config)
    rows = engine.part_rows(encoder.kind, encoder.device, loaded.dim, batch_size)
    if encoder.kind == "image":
        with bar(None, label, len(left), f"{encoder.kind}s", config.quiet) as rows_bar:
            bad = engine.encode_images(cut(left, rows), loaded, encoder.folder, batch_size, rows_bar.update)
        return {image.content: image.reason for image in bad}
    parts = text_parts(left, loaded, rows)
    with bar(None, label, len(left), f"{encoder.kind}s", config.quiet) as rows_bar:
        engine.encode_texts(parts, loaded, encoder.folder, batch_size, rows_bar.update)
    return {}


def load(encoder: Encoder, config: ExtractConfig) -> Any:
    """The encoder itself, on its device."""
    where: dict[str, Any] = {"device": encoder.device, "dtype": encoder.dtype, "compile": config.compile}
    if encoder.kind == "image":
        return image_encoders.load(encoder.located, **where)
    return text_encoders.load(encoder.located, max_tokens=config.max_tokens, **where)


def text_parts(left: Sequence[Item], encoder: Any, rows: int) -> list[Part]:
    """Texts in the order of their word pieces, in parts of so many rows."""
    from extract import engine

    lengths = dict(zip(left, engine.text_lengths([str(item.source) for item in left], encoder), strict=True))
    return cut(by_length(left, lengths.__getitem__), rows)
