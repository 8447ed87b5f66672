"""Stage 1 as a function, `extract`: its steps, in the order in which they are taken."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from extract import archive, dataset, encoders, places, publish
from extract.config import ExtractConfig
from extract.dataset import HashedSplit
from extract.encoders import catalogue
from extract.engine import EncoderJob, EncoderTask, Engine, LocalEngine
from extract.errors import Refused
from extract.machine import cores, in_threads
from extract.parts import Folder, Held, library_versions
from extract.places import Place, Source, place
from extract.plan import Item, unique
from extract.progress import bar, say, silent
from extract.publish import PublishedEncoder


@dataclass(frozen=True)
class Extraction:
    """What `extract` has published."""

    encoders: list[PublishedEncoder]  # images first

    def of(self, kind: str) -> PublishedEncoder:
        """The encoder of this kind, "text" or "image"; of several the first. Raises KeyError where there was none."""
        by_kind = {each.identity.kind: each for each in reversed(self.encoders)}
        return by_kind[kind]


def extract(config: ExtractConfig | None = None, *, verbose: bool = False, **options: Any) -> Extraction:
    """Encode each meme once and publish its vectors under `features`; what is published already is not made again.

    options: fields of ExtractConfig, as `data="data/my_memes", text_encoder="none"`; they replace the config's own.
    Several encoders of a kind: `text_encoder=("all-MiniLM-L6-v2", "all-mpnet-base-v2")`.
    verbose: say on stderr what is done, with progress bars. Otherwise nothing is printed.
    Raises Refused before any work, Failed where it cannot be finished; finished parts are kept.
    """
    options |= {name: place(str(options[name])) for name in ("data", "features") if name in options}
    config = replace(config or ExtractConfig(), **options)
    with ExitStack() as stack:
        if not verbose:
            stack.enter_context(silent())
        names = dataset.choose_splits(config.data, config.split)
        engine = choose_engine(config, stack)
        jobs = choose_encoders(config, engine)
        splits = read_splits(config, names)
        data = publish.identify(config.data, splits)
        for job in jobs:
            stack.enter_context(job.folder.locked())
            publish.refuse_other_dataset(job.folder, splits)
        publish.refuse_other_record(config.features, data)
        bad: dict[str, str] = {}
        for kind in ("image", "text"):  # a meme whose image fails loses its text too
            bad |= encode([job for job in jobs if job.kind == kind], splits, config, engine, bad)
        present = dataset.find_splits(config.data)
        for job in jobs:
            publish.record_dataset(job.folder, data, present)
        folders, skip = [job.folder for job in jobs], config.on_error == "skip"
        return Extraction(publish.publish(folders, splits, bad, skip, config.shard_rows))


def choose_engine(config: ExtractConfig, until: ExitStack) -> Engine:
    """The engine asked for; what it opens is closed with `until`. Raises Refused if it is not installed."""
    if config.engine == "local":
        return LocalEngine()
    from extract.ray_engine.engine import Connection, RayEngine

    return RayEngine(until.enter_context(Connection(config.address)))


def choose_encoders(config: ExtractConfig, engine: Engine | None = None) -> list[EncoderJob]:
    """Locate what is asked for, images first.

    One that is named in two ways is taken once. Raises Refused for every encoder that cannot be had, all together.
    """
    device, dtype = (engine or LocalEngine()).processor(config)
    jobs: dict[tuple[str, Place], EncoderJob] = {}
    refusals = []
    asked = [(kind, name) for kind in ("image", "text") for name in config.encoders(kind)]
    for kind, name in asked:
        try:
            job = _choose(kind, name, device, dtype, config)
            jobs.setdefault((kind, job.folder.path), job)
        except Refused as refusal:
            refusals.append(str(refusal))
    if refusals:
        raise Refused("\n\n".join(refusals))
    return list(jobs.values())


def _choose(kind: str, name: str, device: str, dtype: str, config: ExtractConfig) -> EncoderJob:
    located = catalogue.locate(kind, name)
    settings = encoders.settings(located, dtype=dtype, max_tokens=config.max_tokens)
    folder = Folder(config.features / located.slug, kind, settings, library_versions(kind))
    return EncoderJob(located, folder, device, dtype)


def read_splits(config: ExtractConfig, names: Sequence[str]) -> list[HashedSplit]:
    """Read and check every split, hash its contents, and say what the splits share.

    Raises Refused with every fault of every split, unless they are to be skipped.
    """
    sides = [side for side in dataset.SIDES if config.encoders(side)]
    with_images = "image" in sides
    if with_images and archive.unpack_images(config.data):
        say(f"unpacked {config.data / archive.ARCHIVE}")
    splits = [dataset.read_split(config.data, name, sides) for name in names]
    if config.on_error == "stop":
        dataset.refuse_faults(splits, config.features)
    digests = (
        image_digests([meme.image for split in splits for meme in split.memes], config.quiet) if with_images else None
    )
    hashed = []
    for split in splits:
        content = {"text": [meme.text_content for meme in split.memes]}
        if digests is not None:
            content["image"] = [next(digests) for _ in split.memes]
        hashed.append(HashedSplit(split.name, split.memes, content, split.faults))
    _say_overlaps(hashed)
    return hashed


def image_digests(sources: Sequence[Source], quiet: bool) -> Iterator[str]:
    """sha256 of each image's bytes, in the order given. Raises as `Source.read_bytes`."""
    threads = places.readers(sources[0], cores()) if sources else 1
    digests = in_threads(places.digest, sources, threads, window=64 * threads, name="read")
    yield from bar(digests, "reading images", len(sources), "images", quiet)


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
    jobs: Sequence[EncoderJob],
    splits: Sequence[HashedSplit],
    config: ExtractConfig,
    engine: Engine,
    bad: Collection[str],
) -> dict[str, str]:
    """Encode what these encoders' folders do not hold yet, in parts. Returns content -> reason for bad images.

    jobs: of one kind. bad: contents of images that cannot be decoded; where their memes are skipped, their texts are
    not encoded.
    """
    skipped = set(bad) if config.on_error == "skip" else set()
    items = [
        Item(content, meme.text if kind == "text" else meme.image)
        for kind in {job.kind for job in jobs}
        for split in splits
        for meme, content, image in zip(
            split.memes, split.content[kind], split.content.get("image", [""] * len(split.memes)), strict=True
        )
        if image not in skipped
    ]
    tasks = [task for task in (_plan(job, splits, items, config) for job in jobs) if task.left]
    return engine.encode(tasks, config) if tasks else {}


def _plan(job: EncoderJob, splits: Sequence[HashedSplit], items: Sequence[Item], config: ExtractConfig) -> EncoderTask:
    held = Held.scan(job.folder)
    if not _copies_nothing(job, splits, items, held, config):
        held = held.sound(job.folder, {item.content for item in items}, [split.name for split in splits])
    _say_damage(job.folder, splits, held)
    left = unique(items, held)
    reused = len({item.content for item in items} - {item.content for item in left})
    if not left:
        say(f"{job.located.slug}: nothing to encode, {reused:,} {job.kind}s held already")
    return EncoderTask(job, left, f"{job.located.slug} ({reused:,} reused)" if reused else job.located.slug)


def _say_damage(folder: Folder, splits: Sequence[HashedSplit], held: Held) -> None:
    mended = {path for split in splits for path in held.damage(folder.published(split.name))}
    for path in sorted(held.damaged, key=str):
        split = path.stem if path.parent == folder.path else path.parent.name
        then = (
            "this run writes it anew" if path in mended else f"it stays until you delete it and extract --split {split}"
        )
        say(f"{path} is damaged: its bytes do not match its sha256. No vector is taken from it; {then}")


def _copies_nothing(
    job: EncoderJob, splits: Sequence[HashedSplit], items: Sequence[Item], held: Held, config: ExtractConfig
) -> bool:
    """Whether this run will leave every published file as it is. Only then is it spared reading them in full."""
    # what skipping leaves out is known only once every image is decoded
    if config.on_error == "skip" or unique(items, held):
        return False
    return publish.up_to_date(job.folder, splits, held, config.shard_rows)
