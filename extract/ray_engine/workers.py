"""What runs on the cluster's machines: decoders (tasks) and encoders (actors), a part at a time."""

import json
import os
import pickle
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from extract import store, versions
from extract.decoding import BadImage
from extract.errors import Failed
from extract.images import SIDE
from extract.parts import Folder
from extract.places import Place
from extract.plan import Part
from extract.ray_engine import decoder

Batch = dict[str, np.ndarray]  # a block of Ray Data: columns of equal length


@dataclass(frozen=True)
class Job:
    """What an encoder must know."""

    load: Callable[[], Any]  # returns an encoder, once for each actor
    folder: Folder
    batch_size: int
    threads: int  # of torch


@dataclass(frozen=True)
class Report:
    """What became of one part."""

    rows: int
    bad: list[BadImage] = field(default_factory=list)
    failure: str = ""  # why the whole run cannot go on


def block(part: Part) -> dict[str, bytes]:
    """A part as a row of Ray Data."""
    return {"part": pickle.dumps(part)}


def reports(batch: Batch) -> Iterator[Report]:
    """Read what encoders returned."""
    for row in batch["report"]:
        told = json.loads(row)
        yield Report(told["rows"], [BadImage(**bad) for bad in told["bad"]], told["failure"])


def decode(batch: Batch, child: tuple[str, ...], data: Place) -> Batch:
    """One part's images -> the part, its pixels [n, 224, 224, 3] and, of those that are bad, the reason.

    child: the decoder's command. data: the folder that all images lie in; every machine must see it.
    """
    part: Part = pickle.loads(batch["part"][0])
    pixels = np.zeros((1, len(part.items), SIDE, SIDE, 3), dtype=np.uint8)
    reasons = [""] * len(part.items)
    try:
        failure = _unseen(data)
        if not failure:
            for row, result in enumerate(decoder.of_this_process(child).decode(part.items)):
                if isinstance(result, BadImage):
                    reasons[row] = result.reason
                else:
                    pixels[0, row] = result
    except Failed as error:
        failure = str(error)
    told = json.dumps({"reasons": reasons, "failure": failure})
    return {"part": batch["part"], "pixels": pixels, "decoding": np.array([told])}


class Encode:
    """One encoder of the pool. Loads its weights with the first part that it is given."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.batch_size = job.batch_size
        self.encoder: Any = None

    def __call__(self, batch: Batch) -> Batch:
        """A part, decoded if it holds images -> its file, and a report."""
        part: Part = pickle.loads(batch["part"][0])
        try:
            bad = self._land(part, batch)
            report = Report(len(part.items), bad)
        except Failed as error:
            report = Report(0, failure=str(error))
        return {"report": np.array([json.dumps(asdict(report))])}

    def _land(self, part: Part, batch: Batch) -> list[BadImage]:
        """Raises Failed for what the whole run must stop at."""
        decoded: list[np.ndarray | BadImage] = []
        if "pixels" in batch:
            told = json.loads(str(batch["decoding"][0]))
            if told["failure"]:
                raise Failed(told["failure"])
            for item, pixels, reason in zip(part.items, batch["pixels"][0], told["reasons"], strict=True):
                decoded.append(BadImage(item.content, reason) if reason else pixels)
        bad = [each for each in decoded if isinstance(each, BadImage)]
        gone = {each.content for each in bad}
        good = Part(tuple(item for item in part.items if item.content not in gone))
        # Ray runs a part again if its report was lost, with its machine or on the way
        if good.items and not landed(self.job.folder, good):
            self._encode(part, decoded)
        return bad

    def _encode(self, part: Part, decoded: list[np.ndarray | BadImage]) -> None:
        if fault := _unseen(self.job.folder.path):
            raise Failed(fault)
        if self.encoder is None:
            self._load()
        import torch

        from extract import engine

        while True:
            how = (self.encoder, self.folder, self.batch_size, _nobody)
            try:
                if decoded:
                    engine.encode_decoded([part], iter(decoded), *how)
                else:
                    engine.encode_texts([part], *how)
                return
            except torch.OutOfMemoryError:
                self.batch_size //= 2
                if self.batch_size == 0:
                    raise Failed(
                        f"the GPU's memory on {platform.node()} does not hold one {self.folder.kind}"
                    ) from None
                torch.cuda.empty_cache()

    def _load(self) -> None:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as errors.run has it; before torch is read in
        import torch

        torch.set_num_threads(self.job.threads)
        self.encoder = self.job.load()
        # a part is sealed with the versions of the machine that encoded it
        self.folder = replace(self.job.folder, versions=versions.installed(self.job.folder.kind))


def landed(folder: Folder, part: Part) -> bool:
    """Whether this very part has a whole file."""
    path = folder.parts / f"{part.name}.h5"
    try:
        return path.exists() and store.read(path).ids.tolist() == [item.content for item in part.items]
    except store.StoreError:
        return False


def _unseen(folder: Place) -> str:
    """Why nothing can be done here with a folder that every machine must see; empty if it is there."""
    if folder.is_dir():
        return ""
    return f"machine {platform.node()} of the cluster sees no folder {folder}: every machine must see it, at this path"


def _nobody(rows: int) -> None:
    """Progress is reported by the part, by the driver."""
