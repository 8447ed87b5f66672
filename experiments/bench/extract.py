"""Stage 1 against the usual notebook: memes a second from files to HDF5, the share of the possible, peak memory."""

import argparse
import json
import os
import statistics
import tempfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np

from experiments import tables
from experiments.bench import timing
from experiments.bench.alternatives import Notebook
from experiments.bench.options import ENCODERS
from experiments.bench.random_inputs import draw_memes, write_image_encoder, write_text_encoder
from extract import dataset, encoders, engine, errors, places, stage, store
from extract.config import ExtractConfig
from extract.encoders import batches, catalogue, reading
from extract.files import write_text
from extract.machine import cores, prefetch, resolve_device
from extract.plan import Item

LIMIT_BATCHES = 12  # or as many as the rows fill
PIECES = 32  # word pieces of a text, where the text encoder's limit is measured
NOTES = """\
The notebook's way: float32, NCHW, batches of 32 in file order padded to their longest text, Pillow in the
main process, nothing overlapped, in a process of its own with nothing set. Both end in HDF5; loading the encoder
counts for neither. Encode limit: the encoder alone on ready tensors, texts of 32 word pieces. Decode limit: reading and
decoding alone, with the threads that stage 1 decodes with. Cosine: of our vector and the notebook's for the same meme.
"""
RANDOM_NOTE = "Random weights: the architectures at full size; every word is one word piece.\n"


def run(args: argparse.Namespace) -> int:
    """args: as `options.extract` reads them."""
    resolve_device(args.device)
    names = encoders_of(args)
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or draw_memes(Path(scratch) / "memes", 2 * args.rows)
        memes = distinct(data, args.rows)
        folder = subset(Path(scratch) / "subset", data, memes)
        if args.random_weights:
            bert = write_text_encoder(Path(scratch) / "BERT-base", [meme.text for meme in memes])
            names = {"text": str(bert), "image": str(write_image_encoder(Path(scratch) / args.random_weights))}
        timed = {
            kind: compare(kind, name, memes, folder, Path(scratch), args.device, args.repeats)
            for kind, name in names.items()
        }
        memory = {} if args.no_memory else peak_memory(names, Path(scratch), args)
    source, how = args.data.name if args.data else "drawn", f"medians of {args.repeats} interleaved runs"
    title = f"Stage 1: {len(memes):,} {source} memes, {how}, {machine(args.device)}"
    if args.random_weights:
        names = {kind: f"{Path(name).name}, random weights" for kind, name in names.items()}
    text = page(title, {kind: (names[kind], each) for kind, each in timed.items()}, memory)
    write_text(args.out / "bench_extract.md", text)
    print(text)
    return 0


def encoders_of(args: argparse.Namespace) -> dict[str, str]:
    """Return each kind's encoder; none of random weights. Raises Refused for what cannot be compared."""
    named = {kind: getattr(args, f"{kind}_encoder") for kind in ENCODERS}
    if args.random_weights:
        if any(named.values()):
            raise errors.Refused("--random-weights brings encoders of its own: name none beside it")
        return {}
    for kind, name in named.items():
        located = catalogue.locate(kind, name or ENCODERS[kind])
        if located.pooling != (first := catalogue.default_pooling(kind)):
            raise errors.Refused(
                f"{name}: the notebook's way, to compare with, has {kind} vectors by {first}; take {located.name}"
            )
    return {kind: name or ENCODERS[kind] for kind, name in named.items()}


def distinct(data: Path, rows: int) -> list[dataset.Meme]:
    """The first memes of train, each with a text of its own.

    Drawn captions occur twice; equal texts are encoded once, which would flatter us.
    """
    return list({meme.text: meme for meme in dataset.read_split(data, "train").memes}.values())[:rows]


def subset(folder: Path, data: Path, memes: Sequence[dataset.Meme]) -> Path:
    """A dataset of these memes alone, its images linked."""
    folder.mkdir()
    (folder / "img").symlink_to((data / "img").resolve())
    rows = [
        {"id": meme.id, "img": os.path.relpath(str(meme.image), data), "text": meme.text, "label": meme.label or 0}
        for meme in memes
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@dataclass(frozen=True)
class TimedModality:
    """Seconds of each repeat for one modality."""

    rows: int
    ours: list[float]
    notebook: list[float]
    encode: list[float] = field(default_factory=list)  # the encoder alone on ready tensors, for as many rows
    decode: list[float] = field(default_factory=list)  # decoding alone; none for texts
    cosine: float = 1.0  # the lowest between our vector and the notebook's of the same meme


class StageOne:
    """All that `python -m extract` does for one modality of a dataset's train split, with its encoder loaded once."""

    def __init__(self, kind: str, name: str, data: Path, device: str) -> None:
        names: dict[str, Any] = {"text_encoder": "none", "image_encoder": "none", f"{kind}_encoder": name}
        self.config = ExtractConfig(data=data, split="train", device=device, quiet=True, **names)
        [self.job] = stage.choose_encoders(self.config)
        self.encoder = engine.load(self.job, self.config)

    def run(self, features: Path) -> None:
        """From files to a published HDF5."""
        with mock.patch.object(engine, "load", return_value=self.encoder):
            stage.extract(self.config, features=features)

    def encode_seconds(self, rows: int) -> float:
        """Seconds of the encoder alone for so many rows, on ready tensors, at the batch size that stage 1 uses."""
        size = batch_size = batches.BATCH_SIZE[self.job.device]
        ready: Any
        if squeeze := encoders.decoder(self.job.located):
            shape = (size, squeeze.height, squeeze.width, 3)
            ready = batches.Batches(self.encoder, size).buffers.take(shape, np.dtype(np.uint8))
            ready[:] = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        else:
            size = size * self.encoder.longest // PIECES
            ready = [[101, *range(2000, 1998 + PIECES), 102]] * size
        count = max(1, min(LIMIT_BATCHES, rows // size))
        with batches.batches_at_once(self.encoder.device, batch_size) as each_of:

            def encode() -> None:
                list(each_of(self.encoder.encode, [ready] * count))[-1].cpu()

            encode()  # warms up
            return timing.seconds_of(encode) / (count * size) * rows

    def decode_seconds(self, memes: Sequence[dataset.Meme]) -> float:
        """Seconds to read, check and decode these memes' images when nothing else is done."""
        items = [Item(places.digest(meme.image), meme.image) for meme in memes]
        threads = places.readers(items[0].source, cores())
        decode = partial(reading.decode, prepare=self.encoder.prepare)
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            return timing.seconds_of(lambda: deque(prefetch(pool, decode, items, window=4 * threads), maxlen=0))


def compare(
    kind: str, name: str, memes: Sequence[dataset.Meme], folder: Path, scratch: Path, device: str, repeats: int
) -> TimedModality:
    """Time both ways by turns; loading an encoder counts for neither."""
    ours, numbers, file = StageOne(kind, name, folder, device), count(), scratch / f"{kind}.h5"
    with Notebook(ours.job.located, ours.job.device) as notebook:
        ways = {
            "ours": lambda: timing.seconds_of(lambda: ours.run(scratch / f"{kind}-{next(numbers)}")),
            "notebook": lambda: notebook.seconds(memes, file),
        }
        timing.by_turns(ways, 1)  # warms up
        ways["encode"] = lambda: ours.encode_seconds(len(memes))
        if kind == "image":
            ways["decode"] = lambda: ours.decode_seconds(memes)
        seconds = timing.by_turns(ways, repeats)
    features = scratch / f"{kind}-{repeats}"
    vector = np.asarray(store.read(features / ours.job.located.slug / "train.h5").vector)
    with h5py.File(file) as opened:
        other = opened["vector"][:]
    norms = np.linalg.norm(vector, axis=1) * np.linalg.norm(other, axis=1)
    return TimedModality(len(memes), **seconds, cosine=float(((vector * other).sum(axis=1) / norms).min()))


def peak_memory(names: dict[str, str], scratch: Path, args: argparse.Namespace) -> dict[int, float]:
    """Peak resident memory, in MB, of `python -m extract` on as many and on ten times as many memes."""
    peaks = {}
    for rows in (args.rows // 4, args.rows // 4 * 10):
        data = draw_memes(scratch / f"memory-{rows}", rows)
        _, printed = timing.process(timing.extract(data, scratch / f"peak-{rows}", names, args.device))
        peaks[rows] = int(printed.split()[-1]) / 1024
    return peaks


def machine(device: str) -> str:
    """What the figures were measured on."""
    here = f"{cores()} cores"
    if (resolved := resolve_device(device)) != "cuda":
        return here if resolved == "cpu" else f"Apple's GPU and {here}"
    import torch

    return f"{torch.cuda.get_device_name()} and {here}"


def page(title: str, timed: dict[str, tuple[str, TimedModality]], memory: dict[int, float]) -> str:
    """Return the report. timed: by kind, the encoder's name and what was timed. memory: MB by number of memes."""
    header = ["modality", "encoder", "memefuse /s", "notebook /s", "ratio (min, max)"]
    header += ["encode limit /s", "of it", "decode limit /s", "of it", "least cosine"]
    rows = []
    for kind, (name, each) in timed.items():
        rate = {way: f"{each.rows / statistics.median(getattr(each, way)):.1f}" for way in ("ours", "notebook")}
        cells = [kind, name, *rate.values(), timing.middle(timing.ratios(each.notebook, each.ours))]
        for limit in (each.encode, each.decode):
            reached = timing.share(limit, each.ours) if limit else ""
            cells += [f"{each.rows / statistics.median(limit):.1f}" if limit else "", reached]
        rows.append([*cells, f"{each.cosine:.5f}"])
    lines = [f"# {title}", "", tables.markdown(tables.Table("", header, rows)), "", NOTES]
    lines += [RANDOM_NOTE] if any("random weights" in name for name, _ in timed.values()) else []
    lines += [f"Peak memory of `python -m extract` on {rows:,} memes: {peak:,.0f} MB." for rows, peak in memory.items()]
    return "\n".join(lines) + "\n"
