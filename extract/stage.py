"""Stage 1's steps, in the order in which `python -m extract` takes them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from extract import contents, dataset, encoders, publish, versions
from extract.config import ExtractConfig
from extract.contents import Source
from extract.dataset import HashedSplit
from extract.encoders import catalogue
from extract.engine import EncoderJob, Engine, LocalEngine, prefetch
from extract.errors import Refused
from extract.machine import cores
from extract.parts import Folder, Held
from extract.plan import Item, unique
from extract.progress import bar, say


def choose_engine(config: ExtractConfig, until: ExitStack) -> Engine:
    """The engine asked for; what it opens is closed with `until`. Raises Refused if it is not installed."""
    if config.engine == "local":
        return LocalEngine()
    from extract.ray_engine.engine import RayEngine

    return until.enter_context(RayEngine(config.address))


def choose_encoders(config: ExtractConfig, engine: Engine | None = None) -> list[EncoderJob]:
    """Locate what is asked for, images first: a meme whose image fails loses its text too.

    Raises Refused for every encoder that cannot be had, all together.
    """
    device, dtype = (engine or LocalEngine()).processor(config)
    jobs, refusals = [], []
    for kind, name in (("image", config.image_encoder), ("text", config.text_encoder)):
        if name != "none":
            try:
                jobs.append(_choose(kind, name, device, dtype, config))
            except Refused as refusal:
                refusals.append(str(refusal))
    if refusals:
        raise Refused("\n\n".join(refusals))
    return jobs


def _choose(kind: str, name: str, device: str, dtype: str, config: ExtractConfig) -> EncoderJob:
    located = catalogue.locate(kind, name)
    settings = encoders.settings(located, dtype=dtype, max_tokens=config.max_tokens)
    folder = Folder(config.features / located.slug, kind, settings, versions.installed(kind))
    return EncoderJob(located, folder, device, dtype)


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
        digests = prefetch(pool, dataset.file_digest, sources, window=64 * threads)
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
    encoder: EncoderJob, splits: Sequence[HashedSplit], config: ExtractConfig, engine: Engine | None = None
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
    encoder: EncoderJob, splits: Sequence[HashedSplit], items: Sequence[Item], held: Held, config: ExtractConfig
) -> bool:
    """Whether this run will leave every published file as it is. Only then is it spared reading them in full."""
    # what skipping leaves out is known only once every image is decoded
    if config.on_error == "skip" or unique(items, held):
        return False
    return publish.up_to_date(encoder.folder, splits, held, config.shard_rows)
