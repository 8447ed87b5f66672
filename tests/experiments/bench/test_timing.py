"""How the benches time: ways by turns, ratios within one repeat, processes whose errors are shown."""

import json
import sys
import time

import pytest

from experiments.bench import timing
from extract import errors


def test_ways_are_called_by_turns():
    called = []
    ways = {name: lambda name=name: called.append(name) or len(called) for name in "ab"}
    assert timing.by_turns(ways, 2) == {"a": [1, 3], "b": [2, 4]}
    assert called == ["a", "b", "a", "b"]


def test_ratios_are_of_one_repeat_and_the_median_is_shown():
    ours, theirs = [1.0, 2.0, 4.0], [8.0, 8.0, 40.0]
    assert timing.ratios(theirs, ours) == [8.0, 4.0, 10.0]
    assert timing.middle(timing.ratios(theirs, ours)) == "8.0 (4.0, 10.0)"
    assert timing.middle([0.5], 2) == "0.50 (0.50, 0.50)"
    assert timing.share(ours, theirs) == "12%"


def test_seconds_are_those_of_the_call():
    assert 0.05 <= timing.seconds_of(lambda: time.sleep(0.05)) < 5


def test_a_process_gets_its_job_and_tells_what_it_prints(tmp_path):
    (tmp_path / "job.json").write_text("")
    seconds, told = timing.in_a_process("json.tool", {"rows": 3}, tmp_path / "job.json")
    assert told == json.loads((tmp_path / "job.json").read_text()) == {"rows": 3}
    assert seconds > 0


def test_a_process_that_fails_is_shown_with_its_errors():
    command = [sys.executable, "-c", "import sys; sys.exit('out of luck')"]
    with pytest.raises(errors.Failed, match=r"failed with status 1:\nout of luck"):
        timing.process(command)


def test_sampling_looks_until_the_end_and_once_more():
    looks = []
    with timing.Sampling(lambda: looks.append(time.perf_counter()), 0.01):
        time.sleep(0.1)
        within = len(looks)
    assert 1 < within < len(looks)
