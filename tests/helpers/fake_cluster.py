"""Ray on this machine, of two nodes, and the engine's encoders replaced by fakes that keep a log on disk.

Run as a script: `python -m extract` with those fakes; arguments: log, seconds a batch, and the command's own.
"""

import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from fake_encoders import FakeImage, FakeText
from PIL import Image

from extract import encoders, engine, errors, images, store
from extract.__main__ import main
from extract.encoders import catalogue
from extract.ray_engine import workers
from extract.ray_engine.cluster import ENVIRONMENT

HELPERS = Path(__file__).parent
PART_ROWS = 8
OPTIONS = ("--device", "cpu", "--dtype", "float32", "--quiet", "--batch-size", "4")


@contextmanager
def two_nodes(cpus=2):
    """A Ray cluster of two machines that are both this one. Its processes end with it."""
    # workers import this file, too
    os.environ.update(ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(HELPERS), str(HELPERS.parent.parent)])})
    cluster = Nodes(cpus)
    try:
        yield cluster
    finally:
        cluster.cluster.shutdown()


class Nodes:
    """A head and a second machine, which can be lost. Their GPUs are but numbers in Ray's books."""

    def __init__(self, cpus: int) -> None:
        from ray.cluster_utils import Cluster

        self.node = {"num_cpus": cpus, "num_gpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.node)
        self.address = self.cluster.address
        self.add_second()

    def add_second(self) -> None:
        self.second = self.cluster.add_node(**self.node)

    def remove_second(self) -> None:
        """As a power cut does."""
        self.cluster.remove_node(self.second, allow_graceful=False)


def die():
    """As of a library that is not made for this processor, or of the kernel that needs memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def fall_ill():
    raise RuntimeError(
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported late"
    )


def load(located, log, seconds, mishap=None, **how):
    """In place of workers.load: a fake that logs each batch before its vectors are. mishap: called first."""
    if mishap:
        mishap()
    fake = FakeImage() if located.kind == "image" else FakeText()
    encode = fake.encode

    def slow(batch):
        with open(log, "a") as file:
            file.write(f"{located.kind} {len(batch)} {os.getpid()}\n")
        time.sleep(seconds)
        return encode(batch)

    fake.encode = slow
    return fake


def install(log: Path, seconds=0.0, setattr=setattr, mishap=None):
    """Fake encoders for both engines, in small parts. setattr: monkeypatch's, where it is to be undone."""
    setattr(catalogue, "locate", lambda kind, name: SimpleNamespace(slug=f"fake-{kind}", kind=kind))
    fake = partial(load, log=str(log), seconds=seconds, mishap=mishap)
    setattr(workers, "load", fake)
    setattr(encoders, "settings", lambda located, **how: {"weights": located.slug})
    setattr(encoders, "load", fake)
    setattr(encoders, "decoder", lambda located: images.decode_each if located.kind == "image" else None)
    setattr(engine, "PART_ROWS", {device: {"text": PART_ROWS, "image": PART_ROWS} for device in ("cpu", "cuda")})


def encoded(log: Path) -> Counter:
    """Rows that went through each encoder, short batches filled up."""
    rows: Counter = Counter()
    for line in log.read_text().splitlines() if log.exists() else []:
        kind, count, _ = line.split()
        rows[kind] += int(count)
    return rows


def draw(folder: Path, rows: int, spoiled: dict[int, bytes] | None = None) -> Path:
    """A dataset of so many memes of one colour each. spoiled: number -> what its image file holds instead."""
    (folder / "img").mkdir(parents=True)
    lines = []
    for number in range(rows):
        path = folder / f"img/{number}.png"
        Image.new("RGB", (8, 8), (number % 256, 255 - number % 256, number // 256)).save(path)
        if number in (spoiled or {}):
            path.write_bytes(spoiled[number])
        lines.append({"id": str(number), "img": f"img/{number}.png", "text": "x" * number, "label": number % 2})
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def published(features: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(features)): path.read_bytes()
        for path in features.glob("[!.]*/*")
        if not path.name.startswith(".") and path.name != store.SPEED
    }


def part_files(features: Path) -> list[Path]:
    return sorted(features.glob("*/.parts/*/[!.]*.h5"))


def processes_of(scratch: Path) -> list[str]:
    """Command lines of the processes that were told of this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has just ended
            continue
        if str(scratch) in command:
            found.append(command)
    return found


if __name__ == "__main__":
    install(Path(sys.argv[1]), float(sys.argv[2]))
    sys.exit(errors.run(lambda: main(sys.argv[3:])))
