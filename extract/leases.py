"""Keeping a second extraction out of a folder elsewhere, where there is no lock that ends with its process.

A lock is an object that says who holds it and when that was last renewed. It is created on condition that there is
none (on S3 the server decides, so of two runs that start at once one is refused), read back, and renewed every minute.
A lock that was not renewed for ten minutes, or whose process on this very machine has ended, is taken over; whoever
takes over looks again after a pause, since two may do so at once.

What it does not promise: a run that hangs for ten minutes and wakes up has lost its lock without knowing. Nothing is
damaged then, for correctness does not hang on it: parts and shards are named by their content and uploaded whole, and
an index is replaced in one step. Work may be done twice.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from extract.errors import Refused
from extract.remote import Remote, Unreachable

LEASE = 600.0  # seconds without renewal after which a lock counts for nothing
RENEWAL = 60.0  # seconds
PAUSE = 2.0  # seconds between taking a lock over and looking whether somebody else did, too


@contextmanager
def held(lock: Remote) -> Iterator[None]:
    """Hold `lock`. Raises Refused when another extraction does, or when it cannot be written."""
    token = uuid.uuid4().hex
    try:
        _take(lock, token)
    except (Unreachable, FileNotFoundError) as error:
        raise Refused(f"{lock.parent} cannot be written: {error}; name another folder with --features") from None
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, token, over), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
        if _read(lock).get("token") == token:
            lock.unlink(missing_ok=True)


def _take(lock: Remote, token: str) -> None:
    try:
        lock.create(_content(token))
    except FileExistsError:
        holder = _read(lock)
        age = time.time() - holder.get("renewed", 0.0)
        if age < LEASE and not _has_ended(holder):
            _refuse(lock, holder, age)
        lock.unlink(missing_ok=True)
        try:
            lock.create(_content(token))
        except FileExistsError:
            _refuse(lock, _read(lock), 0.0)
        time.sleep(PAUSE)
    if (holder := _read(lock)).get("token") != token:
        _refuse(lock, holder, 0.0)


def _refuse(lock: Remote, holder: dict[str, Any], age: float) -> None:
    raise Refused(
        f"another extraction (process {holder.get('process', '?')} on {holder.get('host', '?')}) is writing to "
        f"{lock.parent}; it said so {age:.0f} s ago. Wait for it to end, or name another folder with --features. "
        f"If it was killed, its lock ends {LEASE / 60:.0f} minutes after it was last renewed; or delete {lock}"
    )


def _renew(lock: Remote, token: str, over: threading.Event) -> None:
    while not over.wait(RENEWAL):
        try:
            if _read(lock).get("token") != token:
                return
            lock.write_bytes(_content(token))
        except Unreachable:
            continue  # the work itself will say so


def _read(lock: Remote) -> dict[str, Any]:
    """Empty where there is no lock, or none that can be read."""
    try:
        return dict(json.loads(lock.read_bytes()))
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
    """This boot of this machine, and the container that process numbers count in; empty where Linux does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(uuid.uuid4())
