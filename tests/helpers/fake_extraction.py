"""Run as a script: `python -m extract` with fake encoders and small parts, logging every content that it encodes.

With the environment variable SLOW_AFTER, batches take .2 s each once so many have been encoded.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from fake_encoders import FakeImage, FakeText

from extract import encoders, engine, errors
from extract.__main__ import main
from extract.encoders import catalogue

PART_ROWS = 8


def run(log: Path, argv: list[str]) -> int:
    slow_after = float(os.environ.get("SLOW_AFTER", "inf"))
    batches = 0

    def logged(encoder):
        encode = encoder.encode

        def slow(batch):
            nonlocal batches
            batches += 1
            # one line a batch, on disk before the vectors are: what the log lacks was not encoded
            with open(log, "a") as file:
                file.write(f"{encoder.__class__.__name__} {len(batch)}\n")
            time.sleep(0.004 if batches < slow_after else 0.2)
            return encode(batch)

        encoder.encode = slow
        return encoder

    catalogue.locate = lambda kind, name: SimpleNamespace(
        slug=f"fake-{kind}{'-' + name if len(name) == 1 else ''}", kind=kind, path=Path("nowhere")
    )
    encoders.settings = lambda located, **how: {"weights": located.slug}
    encoders.load = lambda located, **how: logged({"text": FakeText, "image": FakeImage}[located.kind]())
    engine.PART_ROWS = {"cpu": {"text": PART_ROWS, "image": PART_ROWS}}
    print("ready", flush=True)
    return errors.run(lambda: main(argv))


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores it
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
