"""One process at a time in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extract.errors import Refused


@contextmanager
def locked(folder: Path, other: str, option: str) -> Iterator[None]:
    """Keep others out of `folder`, made if need be; the lock ends with the process, however it ends.

    other: who that would be, as "another extraction". option: which names another folder. Raises Refused when another
    is at work there, or when the folder cannot be written or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+")  # noqa: SIM115  closed below; its descriptor is the lock
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror}; name another folder with {option}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Refused(
                f"{other} (process {lock.read().strip() or '?'}) is writing to {folder}; wait for it to end, "
                f"or name another folder with {option}"
            ) from None
        except OSError as error:
            raise Refused(
                f"{folder} cannot be locked: {error.strerror}; name a folder on another file system with {option}"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
