"""What runs on the cluster's machines: decoders (tasks) and encoders (actors), a row of parts at a time."""

import json
import os
import pickle
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np

from extract import encoders, images, store
from extract.encoders import catalogue
from extract.encoders.batches import Batches
from extract.encoders.family import Encoder, Incomplete, Located, TextEncoder
from extract.encoders.reading import BadImage
from extract.encoders.weights import digest
from extract.engine import TextCounts, Tokeniser, out_of_memory, write_parts
from extract.errors import Failed, Refused
from extract.parts import Folder, library_versions
from extract.places import Place, Remote
from extract.plan import Item, Part, merged
from extract.ray_engine import decoder

Batch = dict[str, np.ndarray]  # a block of Ray Data: columns of equal length, which is 1
Row = tuple[Part, ...]  # what travels together: of the same contents a part for each encoder


@dataclass(frozen=True)
class WorkerJob:
    """What an encoder on a machine of the cluster must know."""

    loads: Sequence[Callable[[], Any]]  # each returns an encoder, once for each actor
    folders: Sequence[Folder]  # of each encoder
    batch_size: int
    threads: int  # of torch
    driver: str  # its machine


@dataclass(frozen=True)
class Report:
    """What became of one row."""

    rows: int  # vectors
    bad: list[BadImage] = field(default_factory=list)
    failure: str = ""  # why the whole run cannot go on
    reader: str = ""  # the machine that read the images
    counts: TextCounts = field(default_factory=TextCounts)


def block(row: Row) -> dict[str, bytes]:
    """As Ray Data has it."""
    return {"parts": pickle.dumps(row)}


def reports(batch: Batch) -> Iterator[Report]:
    """Read what encoders returned."""
    return map(pickle.loads, batch["report"])


def decode(batch: Batch, transforms: Sequence[images.Prepare], child: tuple[str, ...], data: Place) -> Batch:
    """One row's images -> the row, their pixels [n, height, width, 3] by each transform and, of the bad ones, why.

    transforms: as `encoders.decoder` gives them. child: the decoder's command. data: the folder that all images lie in;
    every machine must see it.
    """
    items = merged([part.items for part in pickle.loads(batch["parts"][0])])
    pixels = [np.zeros((1, len(items), 0), dtype=np.uint8) for _ in transforms]
    reasons = [""] * len(items)
    try:
        failure = _unseen(data)
        if not failure:
            results = decoder.of_this_process(child).decode(items, partial(images.transformed, transforms=transforms))
            for row, result in enumerate(results):
                if isinstance(result, BadImage):
                    reasons[row] = result.reason
                    continue
                for number, made in enumerate(result):
                    if not pixels[number].size:
                        pixels[number] = np.zeros((1, len(items), *made.shape), dtype=np.uint8)
                    pixels[number][0, row] = made
    except Failed as error:
        failure = f"machine {platform.node()} of the cluster: {error}"
    told = json.dumps({"reasons": reasons, "failure": failure, "reader": platform.node()})
    columns = {f"pixels_{number:03}": made for number, made in enumerate(pixels)}
    return {"parts": batch["parts"], "decoding": np.array([told]), **columns}


class Encode:
    """An actor of the pool. Loads its encoders' weights with the first row that it is given."""

    def __init__(self, job: WorkerJob) -> None:
        self.job = job
        self.batches: list[Batches] = []

    def __call__(self, batch: Batch) -> Batch:
        """A row, decoded if it holds images -> its files, and a report."""
        parts: Row = pickle.loads(batch["parts"][0])
        told = json.loads(str(batch["decoding"][0])) if "decoding" in batch else {}
        try:
            report = self._land(parts, batch, told)
        except Failed as error:
            report = Report(0, failure=str(error))
        return {"report": np.array([pickle.dumps(report)], dtype=object)}

    def _land(self, parts: Row, batch: Batch, told: dict[str, Any]) -> Report:
        """told: by the decoder. Raises Failed for what the whole run must stop at."""
        decoded: dict[str, list[np.ndarray] | BadImage] = {}
        if told:
            if told["failure"]:
                raise Failed(told["failure"])
            by_transform = [batch[name][0] for name in sorted(batch) if name.startswith("pixels_")]
            items = merged([part.items for part in parts])
            for item, reason, *pixels in zip(items, told["reasons"], *by_transform, strict=True):
                decoded[item.content] = BadImage(item.content, reason) if reason else pixels
        bad = [each for each in decoded.values() if isinstance(each, BadImage)]
        gone = {each.content for each in bad}
        good = [Part(tuple(item for item in part.items if item.content not in gone)) for part in parts]
        counts = TextCounts()
        # Ray runs a row again if its report was lost, with its machine or on the way
        todo = [
            number
            for number, (folder, part) in enumerate(zip(self.job.folders, good, strict=True))
            if part.items and not landed(folder, part)
        ]
        if todo:
            counts = self._encode({number: parts[number] for number in todo}, decoded)
        for folder, part in zip(self.job.folders, good, strict=True):
            path = folder.part_file(part)
            if isinstance(path, Remote) and platform.node() != self.job.driver:
                path.forget()  # the driver alone publishes from copies of parts, and sweeps them
        return Report(sum(len(part.items) for part in parts), bad, reader=told.get("reader", ""), counts=counts)

    def _encode(self, parts: dict[int, Part], decoded: dict[str, list[np.ndarray] | BadImage]) -> TextCounts:
        """parts: by the number of their encoder."""
        for number in parts:
            if fault := _unseen(self.job.folders[number].path):
                raise Failed(fault)
        loaded = self.batches or self._load()
        import torch

        # every encoder's, for decoders make of an image each once, in this order
        transforms = dict.fromkeys(each.encoder.prepare for each in loaded) if decoded else {}
        columns: dict[Any, int] = {transform: number for number, transform in enumerate(transforms)}

        def pixels(item: Item, transforms: Sequence[images.Prepare]) -> list[np.ndarray] | BadImage:
            ready = decoded[item.content]
            return ready if isinstance(ready, BadImage) else [ready[columns[transform]] for transform in transforms]

        while True:
            tokeniser = None if decoded else Tokeniser(cast(TextEncoder, loaded[0].encoder))
            work = [([part], loaded[number], self.folders[number]) for number, part in parts.items()]
            try:
                write_parts(work, prepare=tokeniser or pixels)
                return tokeniser.counts if tokeniser else TextCounts()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            # only now has the traceback let go of the batch that was in hand
            size = loaded[0].batch_size // 2
            if size == 0:
                raise Failed(f"the GPU's memory on {platform.node()} does not hold one {self.folders[0].kind}")
            self.batches = loaded = [Batches(each.encoder, size) for each in loaded]
            torch.cuda.empty_cache()

    def _load(self) -> list[Batches]:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as errors.run has it; before torch is read in
        import torch

        torch.set_num_threads(self.job.threads)
        self.batches = [Batches(load(), self.job.batch_size) for load in self.job.loads]
        # a part is sealed with the versions of the machine that encoded it
        self.folders = [replace(folder, versions=library_versions(folder.kind)) for folder in self.job.folders]
        return self.batches


def landed(folder: Folder, part: Part) -> bool:
    """Whether this very part has a whole file."""
    path = folder.part_file(part)
    try:
        return path.exists() and store.read(path).ids.tolist() == [item.content for item in part.items]
    except store.StoreError:
        return False


def _unseen(folder: Place) -> str:
    """Why nothing can be done here with a folder that every machine must see; empty if it is there."""
    if folder.is_dir():
        return ""
    return f"machine {platform.node()} of the cluster sees no folder {folder}: every machine must see it, at this path"


def here(located: Located) -> Located:
    """The same weights on this machine: at the driver's path if that is shared, else by name, as any user finds them.

    Raises Refused, naming this machine, if they cannot be had here or are others than the driver's.
    """
    if _digest(located) == located.weights:
        return located
    try:
        named = catalogue.locate(located.kind, catalogue.full_name(located))
    except Refused as refusal:
        raise Refused(f"machine {platform.node()} of the cluster: {refusal}") from None
    if named.weights != located.weights:
        raise Refused(
            f"machine {platform.node()} of the cluster has other weights of {located.name} than the driver:\n"
            f"  {named.path}: sha256 {named.weights[:8]}, the driver's {located.path}: {located.weights[:8]}.\n"
            "Put the same there, or share the folder."
        )
    return named


def _digest(located: Located) -> str:
    """What lies at the driver's path on this machine; empty if that is no such encoder."""
    try:
        whole = located.path.is_file()
        return digest([located.path] if whole else catalogue.files(located.kind, located.path))
    except (Incomplete, OSError):
        return ""


def load(located: Located, **how: Any) -> Encoder:
    """The encoder itself, its weights found and their digest checked on this machine. how: as for encoders.load."""
    return encoders.load(here(located), **how)
