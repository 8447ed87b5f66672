"""One process at a time in a folder, here or elsewhere.

Here a lock is a file's `flock`, which ends with its process, however that ends. Elsewhere there is none: a lock is an
object that says who holds it and when that was last renewed. It is created on condition that there is none (on S3 the
server decides, so of two runs that start at once one is refused), read back, and renewed every minute. A lock that was
not renewed for ten minutes, or whose process on this very machine has ended, is taken over; whoever takes over looks
again after a pause, since two may do so at once.

What that does not promise: a run that hangs for ten minutes and wakes up has lost its lock without knowing. Nothing is
damaged then, for correctness does not hang on it: parts and shards are named by their content and uploaded whole, and
an index is replaced in one step. Work may be done twice.
"""

import fcntl
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from extract.errors import Refused
from extract.places import Place
from extract.remote import Remote, StorageUnreachable

LEASE = 600.0  # seconds without renewal after which a lock elsewhere counts for nothing
RENEWAL = 60.0  # seconds
PAUSE = 2.0  # seconds between taking a lock over and looking whether somebody else did, too


def flock(file: IO[Any], wait: bool = False) -> None:
    """Lock an open file until it is closed or this process ends.

    Raises BlockingIOError where another process has locked it, unless we wait; OSError where its file system cannot.
    """
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone_if(needed: bool, what: str) -> Iterator[None]:
    """Where that is needed, wait until no other process of this user and machine is at `what`, and keep others out."""
    if not needed:
        yield
        return
    with open(Path(tempfile.gettempdir()) / f"memefuse-{what}-{os.getuid()}.lock", "w") as file:
        with suppress(OSError):  # a file system without locks
            flock(file, wait=True)
        yield


@contextmanager
def locked(folder: Place, other: str, option: str) -> Iterator[None]:
    """Keep others out of `folder`, made if need be.

    other: who that would be, as "another extraction". option: which names another folder. Raises Refused when another
    is at work there, or when the folder cannot be written or locked.
    """
    if isinstance(folder, Remote):
        with Lease(folder, other, option).held():
            yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a+")  # noqa: SIM115  closed below; its descriptor is the lock
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror}; name another folder with {option}") from None
    with lock:
        try:
            flock(lock)
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


@dataclass(frozen=True)
class Lease:
    """A folder elsewhere, to be held by this process alone. See `locked`."""

    folder: Remote
    other: str
    option: str

    @property
    def lock(self) -> Remote:
        return self.folder / ".lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        token = uuid.uuid4().hex
        try:
            self._take(token)
        except (StorageUnreachable, FileNotFoundError) as error:
            raise Refused(f"{self.folder} cannot be written: {error}; name another folder with {self.option}") from None
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(token, over), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()
            if self._holder().get("token") == token:
                self.lock.unlink(missing_ok=True)

    def _take(self, token: str) -> None:
        try:
            self.lock.create(_content(token))
        except FileExistsError:
            holder = self._holder()
            age = time.time() - holder.get("renewed", 0.0)
            if age < LEASE and not _has_ended(holder):
                self._refuse(holder, age)
            self.lock.unlink(missing_ok=True)
            try:
                self.lock.create(_content(token))
            except FileExistsError:
                self._refuse(self._holder(), 0.0)
            time.sleep(PAUSE)
        if (holder := self._holder()).get("token") != token:
            self._refuse(holder, 0.0)

    def _refuse(self, holder: dict[str, Any], age: float) -> None:
        raise Refused(
            f"{self.other} (process {holder.get('process', '?')} on {holder.get('host', '?')}) is writing to "
            f"{self.folder}; it said so {age:.0f} s ago. Wait for it to end, or name another folder with "
            f"{self.option}. If it was killed, its lock ends {LEASE / 60:.0f} minutes after it was last renewed; "
            f"or delete {self.lock}"
        )

    def _renew(self, token: str, over: threading.Event) -> None:
        while not over.wait(RENEWAL):
            try:
                if self._holder().get("token") != token:
                    return
                self.lock.write_bytes(_content(token))
            except StorageUnreachable:
                continue  # the work itself will say so

    def _holder(self) -> dict[str, Any]:
        """What the lock says; empty where there is none, or none that can be read."""
        try:
            return dict(json.loads(self.lock.read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}


def _content(token: str) -> bytes:
    process = {"process": os.getpid(), "host": socket.gethostname(), "kernel": kernel()}
    return json.dumps({**process, "renewed": time.time(), "token": token}).encode()


def _has_ended(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine, seen from the same container, and is no more."""
    return (holder.get("host"), holder.get("kernel")) == (socket.gethostname(), kernel()) and not Path(
        f"/proc/{holder.get('process')}"
    ).exists()


def kernel() -> str:
    """This boot of this machine, and the container that process numbers count in; random where Linux does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(uuid.uuid4())
