"""What runs on the cluster's machines: decoders (tasks) and encoders (actors), a part at a time."""

import json
import os
import pickle
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from extract import encoders, store
from extract.encoders import catalogue
from extract.encoders.batches import Batches
from extract.encoders.family import Encoder, Incomplete, Located, TextEncoder
from extract.encoders.reading import BadImage
from extract.encoders.weights import combine, digest, sha256
from extract.engine import TextCounts, Tokeniser, out_of_memory, write_parts
from extract.errors import Failed, Refused
from extract.parts import Folder, library_versions
from extract.places import Place, Remote
from extract.plan import Item, Part
from extract.ray_engine import decoder

Batch = dict[str, np.ndarray]  # a block of Ray Data: columns of equal length


@dataclass(frozen=True)
class WorkerJob:
    """What an encoder on a machine of the cluster must know."""

    load: Callable[[], Any]  # returns an encoder, once for each actor
    folder: Folder
    batch_size: int
    threads: int  # of torch
    driver: str  # its machine


@dataclass(frozen=True)
class Report:
    """What became of one part."""

    rows: int
    bad: list[BadImage] = field(default_factory=list)
    failure: str = ""  # why the whole run cannot go on
    reader: str = ""  # the machine that read the part's images
    counts: TextCounts = field(default_factory=TextCounts)


def block(part: Part) -> dict[str, bytes]:
    """A part as a row of Ray Data."""
    return {"part": pickle.dumps(part)}


def reports(batch: Batch) -> Iterator[Report]:
    """Read what encoders returned."""
    return map(pickle.loads, batch["report"])


def decode(batch: Batch, prepare: decoder.Prepare, child: tuple[str, ...], data: Place) -> Batch:
    """One part's images -> the part, its pixels [n, height, width, 3] and, of those that are bad, the reason.

    prepare: as `encoders.decoder` gives it. child: the decoder's command. data: the folder that all images lie in;
    every machine must see it.
    """
    part: Part = pickle.loads(batch["part"][0])
    pixels = np.zeros((1, len(part.items), 0), dtype=np.uint8)
    reasons = [""] * len(part.items)
    try:
        failure = _unseen(data)
        if not failure:
            for row, result in enumerate(decoder.of_this_process(child).decode(part.items, prepare)):
                if isinstance(result, BadImage):
                    reasons[row] = result.reason
                    continue
                if not pixels.size:
                    pixels = np.zeros((1, len(part.items), *result.shape), dtype=np.uint8)
                pixels[0, row] = result
    except Failed as error:
        failure = f"machine {platform.node()} of the cluster: {error}"
    told = json.dumps({"reasons": reasons, "failure": failure, "reader": platform.node()})
    return {"part": batch["part"], "pixels": pixels, "decoding": np.array([told])}


class Encode:
    """One encoder of the pool. Loads its weights with the first part that it is given."""

    def __init__(self, job: WorkerJob) -> None:
        self.job = job
        self.batches: Batches | None = None

    def __call__(self, batch: Batch) -> Batch:
        """A part, decoded if it holds images -> its file, and a report."""
        part: Part = pickle.loads(batch["part"][0])
        told = json.loads(str(batch["decoding"][0])) if "decoding" in batch else {}
        try:
            report = self._land(part, batch, told)
        except Failed as error:
            report = Report(0, failure=str(error))
        return {"report": np.array([pickle.dumps(report)], dtype=object)}

    def _land(self, part: Part, batch: Batch, told: dict[str, Any]) -> Report:
        """told: by the decoder. Raises Failed for what the whole run must stop at."""
        decoded: dict[str, np.ndarray | BadImage] = {}
        if told:
            if told["failure"]:
                raise Failed(told["failure"])
            for item, pixels, reason in zip(part.items, batch["pixels"][0], told["reasons"], strict=True):
                decoded[item.content] = BadImage(item.content, reason) if reason else pixels
        bad = [each for each in decoded.values() if isinstance(each, BadImage)]
        gone = {each.content for each in bad}
        good = Part(tuple(item for item in part.items if item.content not in gone))
        counts = TextCounts()
        # Ray runs a part again if its report was lost, with its machine or on the way
        if good.items and not landed(self.job.folder, good):
            counts = self._encode(part, decoded)
        path = _path(self.job.folder, good)
        if isinstance(path, Remote) and platform.node() != self.job.driver:
            path.forget()  # the driver alone publishes from copies of parts, and sweeps them
        return Report(len(part.items), bad, reader=told.get("reader", ""), counts=counts)

    def _encode(self, part: Part, decoded: dict[str, np.ndarray | BadImage]) -> TextCounts:
        if fault := _unseen(self.job.folder.path):
            raise Failed(fault)
        batches = self.batches or self._load()
        import torch

        def pixels(item: Item, ways: Sequence[object]) -> list[np.ndarray] | BadImage:
            ready = decoded[item.content]
            return ready if isinstance(ready, BadImage) else [ready]

        while True:
            tokeniser = None if decoded else Tokeniser(cast(TextEncoder, batches.encoder))
            try:
                write_parts([([part], batches, self.folder)], prepare=tokeniser or pixels)
                return tokeniser.counts if tokeniser else TextCounts()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            # only now has the traceback let go of the batch that was in hand
            if batches.batch_size == 1:
                raise Failed(f"the GPU's memory on {platform.node()} does not hold one {self.folder.kind}")
            self.batches = batches = Batches(batches.encoder, batches.batch_size // 2)
            torch.cuda.empty_cache()

    def _load(self) -> Batches:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as errors.run has it; before torch is read in
        import torch

        torch.set_num_threads(self.job.threads)
        self.batches = Batches(self.job.load(), self.job.batch_size)
        # a part is sealed with the versions of the machine that encoded it
        self.folder = replace(self.job.folder, versions=library_versions(self.job.folder.kind))
        return self.batches


def landed(folder: Folder, part: Part) -> bool:
    """Whether this very part has a whole file."""
    path = _path(folder, part)
    try:
        return path.exists() and store.read(path).ids.tolist() == [item.content for item in part.items]
    except store.StoreError:
        return False


def _path(folder: Folder, part: Part) -> Place:
    return folder.parts / f"{part.name}.h5"


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
        if located.path.is_file():
            return combine({located.path.name: sha256(located.path)})
        return digest(catalogue.files(located.kind, located.path))
    except (Incomplete, OSError):
        return ""


def load(located: Located, **how: Any) -> Encoder:
    """The encoder itself, its weights found and their digest checked on this machine. how: as for encoders.load."""
    return encoders.load(here(located), **how)
