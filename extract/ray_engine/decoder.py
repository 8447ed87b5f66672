"""Decoding in a child process, so that an image that kills its decoder kills no one else.

`python -m extract.ray_engine.decoder` is the child: questions in (pickled): what decodes, and a list of items; for each
item, in order, out (pickled, too): its content, and its pixels or why there are none.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import BinaryIO

import numpy as np

from extract import images, places
from extract.encoders import reading
from extract.encoders.reading import BadImage
from extract.errors import Failed
from extract.machine import prefetch
from extract.plan import Item

CHILD = ("-m", "extract.ray_engine.decoder")
TRIES = 2  # the kernel, short of memory, may have killed a child that is not to blame
READERS = 4  # threads that read files ahead, while one image is decoded; elsewhere it takes more of them
Answer = np.ndarray | BadImage


class Decoder:
    """A child process and how to replace it. It ends with the process that made it."""

    def __init__(self, child: tuple[str, ...]) -> None:
        self._child = child  # the interpreter's arguments
        self.process = self._start()

    def decode(self, items: Sequence[Item], prepare: images.Prepare) -> Iterator[Answer]:
        """Each item's uint8 pixels, or why there are none. An image that kills two children is bad."""
        if self.process.poll() is not None:
            self.close()
            self.process = self._start()
        done = tries = 0
        while done < len(items):
            for answer in self._answers(items[done:], prepare):
                yield answer
                done, tries = done + 1, 0
            if done < len(items):  # the child died of this item: it decodes one after the other
                tries += 1
                self.close()
                death = _death(self.process.returncode)
                self.process = self._start()
                if tries == TRIES:
                    yield BadImage(items[done].content, f"it kills its decoder ({death})")
                    done, tries = done + 1, 0

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

    def _answers(self, items: Sequence[Item], prepare: images.Prepare) -> Iterator[Answer]:
        """As many as the child lives to give. Raises Failed where the child says that the run cannot go on."""
        questions, told = self.process.stdin, self.process.stdout
        assert questions
        assert told
        try:
            pickle.dump((prepare, items), questions)
            questions.flush()
            for item in items:
                content, answer = pickle.load(told)
                if isinstance(answer, Failed):
                    raise answer
                if content != item.content:
                    raise Failed(f"a decoder answered for {content}; it was asked for {item.content}")
                yield answer
        except (BrokenPipeError, EOFError, pickle.UnpicklingError):  # it died, perhaps in the middle of an answer
            return
        except BaseException:  # or nobody asks on: the next question must not be given what is left to say of this one
            self.process.kill()
            self.close()
            raise


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to hear
    with os.fdopen(os.dup(1), "wb") as answers, suppress(EOFError):
        os.dup2(2, 1)  # what a library prints is no answer
        answers.write(b"ready\n")
        answers.flush()
        while True:
            prepare, items = pickle.load(sys.stdin.buffer)
            try:
                _answer(items, prepare, answers)
            except Failed as error:  # the place that holds the images is out of reach
                _tell(answers, "", Failed(str(error)))


def _answer(items: Sequence[Item], prepare: images.Prepare, answers: BinaryIO) -> None:
    readers = max(READERS, places.readers(items[0].source, cores=1))
    with ThreadPoolExecutor(readers) as pool:
        for item, data in zip(items, prefetch(pool, reading.read_planned, items, 2 * readers), strict=True):
            _tell(answers, item.content, reading.pixels(item, data, prepare))


def _tell(answers: BinaryIO, content: str, answer: Answer | Failed) -> None:
    pickle.dump((content, answer), answers)
    answers.flush()


if __name__ == "__main__":
    main()
