"""Killed, starved of disk or interrupted: nothing finished is lost, and the outcome is the same to the byte."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_extraction import PART_ROWS
from PIL import Image

ROWS = 60
SCRIPT = Path(__file__).parent.parent / "helpers" / "fake_extraction.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "img").mkdir()
    rows = []
    for number in range(ROWS):
        Image.new("RGB", (8, 8), (number, 255 - number, 7)).save(folder / f"img/{number}.png")
        rows.append({"id": str(number), "img": f"img/{number}.png", "text": "x" * number, "label": number % 2})
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


class Run:
    """One extraction in a process of its own."""

    def __init__(self, data: Path, place: Path, name: str, before=None, slow_after="inf", more=()) -> None:
        place.mkdir(exist_ok=True)
        self.features, self.log = place / "features", place / f"{name}.log"
        command = [sys.executable, str(SCRIPT), str(self.log), "--data", str(data), "--features", str(self.features)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPT.parents[2]), str(SCRIPT.parent)])}
        env["SLOW_AFTER"] = slow_after
        self.process = subprocess.Popen(
            [*command, "--device", "cpu", "--dtype", "float32", "--quiet", "--batch-size", "4", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            preexec_fn=before,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]
        self.started = time.monotonic()

    def end(self) -> tuple[int, str]:
        """Exit status and stderr."""
        errors = self.process.communicate(timeout=120)[1]
        self.seconds = time.monotonic() - self.started
        return self.process.returncode, errors

    def encoded(self) -> dict[str, int]:
        """Rows that went through each encoder."""
        rows = {"FakeText": 0, "FakeImage": 0}
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            name, count = line.split()
            rows[name] += int(count)
        return rows

    def published(self) -> dict[str, bytes]:
        return {path.parent.name: path.read_bytes() for path in self.features.glob("[!.]*/[!.]*.h5")}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    run = Run(data, tmp_path_factory.mktemp("undisturbed"), "log")
    status, errors = run.end()
    assert status == 0, errors
    assert sorted(run.published()) == ["fake-image", "fake-text"]
    assert run.encoded() == {"FakeText": ROWS, "FakeImage": ROWS}
    return run


def kill_and_rerun(data, place, undisturbed, rng):
    killed = Run(data, place, "killed")
    time.sleep(rng.uniform(0, undisturbed.seconds))
    killed.process.send_signal(signal.SIGKILL)
    killed.end()
    again = Run(data, place, "again")
    status, errors = again.end()
    assert status == 0, errors
    assert again.published() == undisturbed.published()
    for name, rows in again.encoded().items():
        # the part in hand, and the one before it while it is being written
        assert rows + killed.encoded()[name] <= ROWS + 2 * PART_ROWS, "more than what was in hand was encoded twice"
    assert not list(place.glob("features/**/*.tmp"))


def test_sigkill_loses_at_most_the_part_in_hand(data, tmp_path, undisturbed):
    rng = random.Random(0)
    for number in range(2):
        kill_and_rerun(data, tmp_path / str(number), undisturbed, rng)


def test_sigkill_loses_at_most_the_part_in_hand_of_each_of_several_encoders(data, tmp_path):
    several = ("--text-encoder", "none", "--image-encoder", "c,d")
    whole = Run(data, tmp_path / "whole", "log", more=several)
    assert whole.end()[0] == 0
    killed = Run(data, tmp_path / "killed", "killed", slow_after="12", more=several)
    while killed.encoded()["FakeImage"] < ROWS:
        time.sleep(0.001)
    killed.process.send_signal(signal.SIGKILL)
    killed.end()
    again = Run(data, tmp_path / "killed", "again", more=several)
    assert again.end()[0] == 0
    assert again.published() == whole.published()
    assert sorted(whole.published()) == ["fake-image-c", "fake-image-d"]
    assert again.encoded()["FakeImage"] + killed.encoded()["FakeImage"] <= 2 * (ROWS + PART_ROWS)


@pytest.mark.slow
def test_sigkill_at_thirty_random_moments(data, tmp_path, undisturbed):
    rng = random.Random(1)
    for number in range(30):
        kill_and_rerun(data, tmp_path / str(number), undisturbed, rng)


def test_ctrl_c_stops_at_once_with_parts_kept(data, tmp_path, undisturbed):
    run = Run(data, tmp_path, "stopped", slow_after="6")  # the signal comes long before the end, on any machine
    while sum(run.encoded().values()) < ROWS // 2:
        time.sleep(0.001)
    asked = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    status, errors = run.end()
    assert time.monotonic() - asked < 2
    assert (status, errors.splitlines()[-1]) == (130, "interrupted")
    again = Run(data, tmp_path, "again")
    assert again.end()[0] == 0
    assert again.published() == undisturbed.published()
    assert again.encoded()["FakeImage"] < ROWS


def test_a_full_disk_is_named_and_loses_nothing(data, tmp_path, undisturbed):
    def starve() -> None:
        # the kernel refuses to let any file grow past this, as a full disk does
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    run = Run(data, tmp_path, "starved", before=starve)
    status, errors = run.end()
    assert status == 1
    assert "fake-image cannot be written: " in errors
    assert "Finished parts are kept: make room and run the same command again." in errors
    assert "Traceback" not in errors
    again = Run(data, tmp_path, "again")
    assert again.end()[0] == 0
    assert again.published() == undisturbed.published()


def test_a_second_run_encodes_nothing_and_says_so(data, undisturbed):
    before = undisturbed.published()
    again = Run(data, undisturbed.features.parent, "second")
    status, errors = again.end()
    assert status == 0
    assert again.encoded() == {"FakeText": 0, "FakeImage": 0}
    assert "fake-text: nothing to encode, 60 texts held already" in errors
    assert f"{undisturbed.features}/fake-text/train.h5: 60 memes, up to date" in errors
    assert again.published() == before
