"""Decoding in a child process, so that an image that kills its decoder kills no one else.

`python -m extract.ray_engine.decoder` is the child: an item a line in (JSON), a line out (JSON) and, if it is an image,
its pixels.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache

import numpy as np

from extract.decoding import BadImage, decode
from extract.errors import Failed
from extract.images import SIDE
from extract.plan import Item

CHILD = ("-m", "extract.ray_engine.decoder")
TRIES = 2  # the kernel, short of memory, may have killed a child that is not to blame
SHAPE = (SIDE, SIDE, 3)


class Decoder:
    """A child process and how to replace it. It ends with the process that made it."""

    def __init__(self, child: tuple[str, ...]) -> None:
        self._child = child  # the interpreter's arguments
        self.process = self._start()

    def decode(self, item: Item) -> np.ndarray | BadImage:
        """[224, 224, 3] uint8 RGB, or why not; an image that kills two children is bad."""
        for _ in range(TRIES):
            answer = self._ask(item)
            if answer is not None:
                return answer
            self.close()
            death = _death(self.process.returncode)
            self.process = self._start()
        return BadImage(item.content, f"it kills its decoder ({death})")

    def close(self) -> None:
        """End the child, if it has not ended."""
        _end(self.process)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, *self._child],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            command = " ".join([sys.executable, *self._child])
            _end(process)
            raise Failed(f"no decoder can be started ({command}: {_death(process.returncode)})")
        return process

    def _ask(self, item: Item) -> np.ndarray | BadImage | None:
        """None if the child is dead."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps([item.content, str(item.source)]).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line.endswith(b"\n"):
                return None
            if reason := json.loads(line):
                return BadImage(item.content, reason)
            pixels = np.empty(SHAPE, dtype=np.uint8)
            whole = self.process.stdout.readinto(pixels.reshape(-1)) == pixels.nbytes  # type: ignore[attr-defined]
        except BrokenPipeError:
            return None
        return pixels if whole else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """A child ends when there is nothing more to read."""
    for pipe in (process.stdin, process.stdout):
        assert pipe
        with suppress(BrokenPipeError):
            pipe.close()
    process.wait()


def _death(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


@cache
def of_this_process(child: tuple[str, ...]) -> Decoder:
    """Started once in each of Ray's worker processes."""
    return Decoder(child)


def main() -> None:
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        answers.write(b"ready\n")
        answers.flush()
        for line in sys.stdin.buffer:
            content, path = json.loads(line)
            result = decode(Item(content, path))
            answers.write(json.dumps(result.reason if isinstance(result, BadImage) else "").encode() + b"\n")
            if not isinstance(result, BadImage):
                answers.write(result.tobytes())
            answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to hear
    main()
