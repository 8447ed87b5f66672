"""One process at a time in a run's folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extract.errors import Refused


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other run out of `folder`; the lock ends with the process, however it ends.

    Raises Refused when another run is at work there, whose checkpoints this one would take for half-written ones, or
    when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+")  # noqa: SIM115  closed below; its descriptor is the lock
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror}; name another folder with --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Refused(
                f"the same run (process {lock.read().strip() or '?'}) is at work in {folder}; wait for it to end, "
                "or name another folder with --out"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
