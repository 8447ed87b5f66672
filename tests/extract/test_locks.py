"""Of two extractions into one folder elsewhere, the second is refused; a dead one's lock does not stay for ever."""

import json
import os
import socket
import subprocess
import time

import pytest

from extract import locks
from extract.errors import Refused
from extract.locks import locked
from extract.places import Remote

pytest_plugins = ["elsewhere"]

OTHER = "another extraction", "--features"


def lock_of(away, **changes) -> Remote:
    """A lock that another machine wrote."""
    holder = {"process": 7, "host": "other", "kernel": "k", "renewed": time.time(), "token": "t"} | changes
    (away / ".lock").write_bytes(json.dumps(holder).encode())
    return away / ".lock"


def test_the_second_is_refused_and_the_lock_goes_with_the_first(away):
    lock = away / ".lock"
    with locked(away, *OTHER):
        holder = json.loads(lock.read_bytes())
        assert (holder["process"], holder["host"]) == (os.getpid(), socket.gethostname())
        with (
            pytest.raises(Refused, match=rf"another extraction \(process {os.getpid()} on .*\) is writing to {away};"),
            locked(away, *OTHER),
        ):
            pass
    assert not lock.exists()
    with locked(away, *OTHER):
        pass


def test_another_machines_lock_counts_until_it_is_too_old(away, monkeypatch):
    monkeypatch.setattr(locks, "PAUSE", 0.0)
    lock = lock_of(away, renewed=time.time() - 100)
    with pytest.raises(Refused) as refused, locked(away, *OTHER):
        pass
    assert "(process 7 on other)" in str(refused.value)
    assert "it said so 100 s ago" in str(refused.value)
    assert f"its lock ends 10 minutes after it was last renewed; or delete {lock}" in str(refused.value)
    lock_of(away, renewed=time.time() - 601)
    with locked(away, *OTHER):
        assert json.loads(lock.read_bytes())["process"] == os.getpid()


def test_a_process_of_this_machine_that_has_ended_holds_nothing(away, monkeypatch):
    monkeypatch.setattr(locks, "PAUSE", 0.0)
    ended = subprocess.Popen(["true"])
    ended.wait()
    mine = {"host": socket.gethostname(), "kernel": locks.kernel()}
    lock_of(away, process=ended.pid, **mine)
    with locked(away, *OTHER):
        pass
    lock_of(away, process=os.getpid(), **mine)
    with pytest.raises(Refused), locked(away, *OTHER):
        pass


def test_of_two_that_take_over_at_once_one_gives_way(memory, monkeypatch):
    lock = lock_of(memory, renewed=0.0)
    monkeypatch.setattr(locks.time, "sleep", lambda _: lock_of(memory, token="the other's"))
    with pytest.raises(Refused, match=r"another extraction \(process 7 on other\)"), locked(memory, *OTHER):
        pass
    assert json.loads(lock.read_bytes())["token"] == "the other's"


def test_a_lock_is_renewed(memory, monkeypatch):
    monkeypatch.setattr(locks, "RENEWAL", 0.01)
    with locked(memory, *OTHER):
        first = json.loads((memory / ".lock").read_bytes())["renewed"]
        deadline = time.monotonic() + 10
        while json.loads((memory / ".lock").read_bytes())["renewed"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_bucket_that_is_not_there_is_refused(bucket):
    nowhere = Remote("s3://no-such-bucket/features/bert")
    with (
        pytest.raises(Refused, match=r"^s3://no-such-bucket/features/bert cannot be written: .*--features$"),
        locked(nowhere, *OTHER),
    ):
        pass
