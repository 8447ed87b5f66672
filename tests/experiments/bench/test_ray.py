"""The benchmark of the Ray engine: what its table says of what was timed. Both engines run only in the real thing."""

import json
import sys

import pytest

from experiments.bench import __main__ as commands
from experiments.bench import ray
from experiments.bench.ray import Resumed, TimedExtraction
from experiments.bench.timing import Sampling
from extract import errors

TIMED = [
    TimedExtraction("local", 10, 2.0, 4.0, 300.0, 0.0),
    TimedExtraction("ray", 10, 8.0, 6.0, 310.0, 40.0),
    TimedExtraction("local", 10, 3.0, 4.0, 301.0, 0.0),
    TimedExtraction("ray", 10, 6.0, 6.0, 311.0, 39.0),
    TimedExtraction("local", 100, 11.5, 22.0, 302.0, 0.0),
    TimedExtraction("ray", 100, 17.8, 33.0, 313.0, 41.0),
]


def test_ratios_are_of_one_repeat_and_starts_cancel():
    table, lines = ray.table(TIMED), ray.slopes(TIMED)
    one = "1.00 (1.00, 1.00)"
    assert [list(row) for row in table.rows] == [
        ["local", "10", "2.5 (2.0, 3.0)", one, "4.0 (4.0, 4.0)", one, "301", "0"],
        ["ray", "10", "7.0 (6.0, 8.0)", "3.00 (2.00, 4.00)", "6.0 (6.0, 6.0)", "1.50 (1.50, 1.50)", "311", "40"],
        ["local", "100", "11.5 (11.5, 11.5)", one, "22.0 (22.0, 22.0)", one, "302", "0"],
        ["ray", "100", "17.8 (17.8, 17.8)", "1.55 (1.55, 1.55)", "33.0 (33.0, 33.0)", "1.50 (1.50, 1.50)", "313", "41"],
    ]
    assert lines == [
        "Without starts, each further meme, wall time: 100.0 ms local, 120.0 ms ray (1.20 times).",
        "Without starts, each further meme, processor time: 200.0 ms local, 300.0 ms ray (1.50 times).",
        "The driver grew for each further meme by: 11.4 kB local, 22.8 kB ray.",
    ]


def test_processor_time_counts_grandchildren():
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"]
    usage = ray.Usage(ray.start_command(command))
    with Sampling(usage.look, ray.LOOK_EVERY):
        usage.process.communicate()
    assert 0.2 < usage.cpu_seconds < 2


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The command, in which all that takes time is made up."""
    runs = iter(TIMED)
    monkeypatch.setattr(ray, "measure", lambda *_: next(runs))
    monkeypatch.setattr(ray, "must_be_same", lambda *_: None)
    monkeypatch.setattr(ray, "distinct_memes", lambda folder, rows: folder)
    monkeypatch.setattr(ray, "resume", lambda *_: Resumed(4, 2, 0, 5.5, 9.0))
    return lambda: commands.main(["ray", "--rows", "77", "--out", str(tmp_path)])


def test_what_was_timed_is_written(tmp_path, bench):
    assert bench() == 0
    page = (tmp_path / "bench_ray.md").read_text()
    assert "Killed with 2 of 4 image parts finished; run again, the first new part was there after 5.5 s" in page
    assert "0 finished parts were written again." in page
    assert json.loads((tmp_path / "bench_ray.json").read_text())["timed"][5]["objects_mb"] == 41


def test_what_was_timed_stays_when_resuming_fails(tmp_path, bench, monkeypatch):
    def fail(*_):
        raise errors.Failed("the second run failed")

    monkeypatch.setattr(ray, "resume", fail)
    with pytest.raises(errors.Failed, match="the second run failed"):
        bench()
    assert "Without starts, each further meme, wall time: 100.0 ms local" in (tmp_path / "bench_ray.md").read_text()
    raw = json.loads((tmp_path / "bench_ray.json").read_text())
    assert (len(raw["timed"]), raw["resumed"]) == (6, None)


def test_too_few_memes_to_kill_a_driver_half_way_are_refused():
    with pytest.raises(errors.Refused) as refusal:
        commands.main(["ray", "--rows", "76"])
    assert str(refusal.value) == (
        "760 images are 3 parts, and the driver is killed when half of them are there: --rows 77 or more"
    )


def test_parts_that_are_swept_meanwhile_are_not_counted(tmp_path):
    folder = tmp_path / "encoder/.parts/key"
    folder.mkdir(parents=True)
    for name in ("a.h5", "b.h5", ".c.h5.tmp"):
        (folder / name).touch()
    assert [path.name for path in sorted(ray.image_parts(tmp_path))] == ["a.h5", "b.h5"]
    (folder / "a.h5").unlink()
    (folder / "a.h5").symlink_to("gone")  # is listed, and has no time
    assert [path.name for path in ray.image_parts(tmp_path)] == ["b.h5"]


def test_files_that_differ_are_named(tmp_path):
    for name, content in (("local", b"a"), ("ray", b"b")):
        (tmp_path / name / "encoder").mkdir(parents=True)
        (tmp_path / name / "encoder/train.h5").write_bytes(content)
    with pytest.raises(errors.Failed, match=r"files differ: encoder/train\.h5"):
        ray.must_be_same(tmp_path / "local", tmp_path / "ray")
    ray.must_be_same(tmp_path / "ray", tmp_path / "ray")


def test_drawn_texts_all_differ(tmp_path):
    folder = ray.distinct_memes(tmp_path / "memes", 12)
    texts = [json.loads(line)["text"] for line in (folder / "train.jsonl").read_text().splitlines()]
    assert len(set(texts)) == len(texts) == 12
