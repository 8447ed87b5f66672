"""What was put is what is got: across processes, kills, full caches and damaged files."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.scoring.vector_cache import VectorCache, default_folder

DIM = 3
WRITER = """
import sys, numpy as np
from pathlib import Path
from experiments.scoring.vector_cache import VectorCache
cache = VectorCache(Path(sys.argv[1]), "f" * 64, 3)
for number in range(int(sys.argv[3])):
    cache.put({f"{sys.argv[2]}-{number}-{row}": np.full(3, number, np.float32) for row in range(20)})
    print(number, flush=True)
"""


def cache(folder, **how) -> VectorCache:
    return VectorCache(folder, how.pop("fingerprint", "f" * 64), how.pop("dim", DIM), **how)


def vectors(names, value=1.0) -> dict[str, np.ndarray]:
    return {name: np.full(DIM, value, np.float32) for name in names}


def writer(folder, name, rounds) -> subprocess.Popen:
    arguments = [sys.executable, "-c", WRITER, str(folder), name, str(rounds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.text("0123456789abcdef", min_size=1, max_size=64), st.floats(width=32, allow_nan=False), max_size=9
    )
)
def test_what_was_put_is_got_bit_for_bit(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("cache")
    cache(folder).put({name: np.full(DIM, value, np.float32) for name, value in found.items()})
    back = cache(folder).get([*found, "not there"])
    assert {name: vector.tolist() for name, vector in back.items()} == {
        name: [value] * DIM for name, value in found.items()
    }


def test_more_contents_than_one_query_takes(tmp_path):
    names = [str(number) for number in range(1234)]
    cache(tmp_path).put(vectors(names))
    assert cache(tmp_path).get([*names, "other"]).keys() == set(names)


def test_each_fingerprint_has_its_own(tmp_path):
    cache(tmp_path).put(vectors("a"))
    assert cache(tmp_path, fingerprint="e" * 64).get("a") == {}


def test_a_vector_of_another_length_is_not_taken(tmp_path):
    cache(tmp_path).put(vectors("a"))
    assert cache(tmp_path, dim=DIM + 1).get("a") == {}


def test_the_oldest_go_when_it_is_full(tmp_path):
    small = cache(tmp_path, limit=5 * 4 * DIM)
    for name in "abcdefg":
        small.put(vectors(name))
    assert small.get("abcdefg").keys() == set("cdefg")
    small.put(vectors("c"))  # is new again
    small.put(vectors("h"))
    assert small.get("abcdefgh").keys() == set("efgch")


def test_nobody_else_may_look(tmp_path):
    cache(tmp_path / "vectors").put(vectors("a"))
    assert stat.S_IMODE((tmp_path / "vectors").stat().st_mode) == 0o700


def test_reading_makes_no_file(tmp_path):
    assert cache(tmp_path / "vectors").get("a") == {}
    assert not (tmp_path / "vectors").exists()


@pytest.mark.parametrize("damage", [b"", b"not a database, but long enough to be taken for one" * 9])
def test_damage_costs_time_only(tmp_path, capsys, damage):
    cache(tmp_path).put(vectors("a"))
    path = cache(tmp_path).path
    path.write_bytes(damage)
    torn = cache(tmp_path)
    assert torn.get("a") == {}
    torn.put(vectors("a"))
    said = capsys.readouterr().err
    if damage:
        assert said == f"note: {path} cannot be used (file is not a database): vectors are not kept\n"
    else:  # an empty file is an empty database
        assert said == ""
        assert torn.get("a").keys() == {"a"}


def test_a_place_that_cannot_be_written_is_said_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    shut = cache(tmp_path / "file" / "vectors")
    shut.put(vectors("a"))
    shut.put(vectors("b"))
    assert capsys.readouterr().err.count("cannot be used") == 1


def test_several_processes_write_at_once(tmp_path):
    writers = [writer(tmp_path, name, 20) for name in "ab"]
    assert [each.wait() for each in writers] == [0, 0]
    for each in writers:
        each.stdout.close()
    names = [f"{name}-{number}-{row}" for name in "ab" for number in range(20) for row in range(20)]
    assert len(cache(tmp_path).get(names)) == len(names)


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011])
def test_a_kill_loses_at_most_what_was_being_written(tmp_path, delay):
    with writer(tmp_path, "a", 100_000) as process:
        for _ in range(5):
            process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        said = [4, *(int(line) for line in process.stdout if line.endswith(b"\n"))]
    held = cache(tmp_path).get([f"a-{number}-{row}" for number in range(said[-1] + 3) for row in range(20)])
    whole = {int(name.split("-")[1]) for name in held}
    assert set(range(said[-1] + 1)) <= whole
    assert len(held) == 20 * len(whole)
    with sqlite3.connect(cache(tmp_path).path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_its_place_is_the_user_s_to_choose(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "vectors"
