"""The Ray engine: the local engine's bytes, nothing lost with a worker, nothing encoded twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_cluster
import pytest
from fake_cluster import OPTIONS, draw, encoded, published

from extract import errors
from extract.__main__ import main
from extract.ray_engine import decoder

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

ROWS = 60
LETHAL = b"SIGKILL to whoever decodes this"


@pytest.fixture(scope="module")
def address():
    with fake_cluster.two_nodes() as cluster:
        yield cluster.address


@pytest.fixture
def extract(tmp_path, monkeypatch, address):
    """Run stage 1 in this process with fake encoders; features go to tmp_path/<name>."""
    fake_cluster.install(tmp_path / "log", setattr=monkeypatch.setattr)

    def run(data, name, *more, engine="ray", to=address):
        where = ("--engine", "ray", "--address", to) if engine == "ray" else ()
        return main(["--data", str(data), "--features", str(tmp_path / name), *OPTIONS, *where, *more])

    return run


def test_published_files_are_the_local_engines_to_the_byte(tmp_path, extract, capsys):
    data = draw(tmp_path / "data", ROWS, {13: b"no image", 40: b""})
    told = {}
    for name in ("local", "ray"):
        with pytest.raises(errors.Failed) as stopped:
            extract(data, name, engine=name)
        told[name] = str(stopped.value).replace(f"/{name}/", "/")
        assert extract(data, name, "--on-error", "skip", engine=name) == 0
    assert told["ray"] == told["local"]
    assert "2 of 60 images cannot be decoded" in told["ray"]
    assert published(tmp_path / "ray") == published(tmp_path / "local")
    assert sorted(published(tmp_path / "ray"))[0] == "fake-image/train.dropped.txt"
    # an image and a text once for each engine and command: nothing that was held is encoded again
    assert encoded(tmp_path / "log")["text"] == 2 * ROWS
    before = encoded(tmp_path / "log")
    assert extract(data, "ray", "--on-error", "skip", to="127.0.0.1:1") == 0, "a cluster was asked for nothing"
    assert encoded(tmp_path / "log") == before
    assert not list(tmp_path.glob("ray/*/.parts"))


class Killer(threading.Thread):
    """Calls `strike` once so many rows are encoded."""

    def __init__(self, log: Path, rows: int, strike) -> None:
        super().__init__(daemon=True)
        self.log, self.rows, self.strike = log, rows, strike
        self.struck = False
        self.start()

    def run(self) -> None:
        while sum(encoded(self.log).values()) < self.rows:
            time.sleep(0.005)
        self.strike()
        self.struck = True


@pytest.fixture(scope="module")
def memes(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("memes") / "data", ROWS)


@pytest.fixture(scope="module")
def undisturbed(memes, tmp_path_factory):
    """What the local engine publishes of the images."""
    place = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        fake_cluster.install(place / "log", setattr=patch.setattr)
        assert main(["--data", str(memes), "--features", str(place), *OPTIONS, *IMAGES]) == 0
    return published(place)


def encoder_pid(log: Path) -> int:
    """The actor that encoded last."""
    return int(log.read_text().splitlines()[-1].split()[-1])


def test_a_killed_encoder_loses_nothing(tmp_path, extract, memes, undisturbed):
    extract.slow(0.02)
    killer = Killer(tmp_path / "log", 12, lambda: os.kill(encoder_pid(tmp_path / "log"), signal.SIGKILL))
    assert extract(memes, "ray", *IMAGES) == 0
    assert killer.struck
    assert published(tmp_path / "ray") == undisturbed
    assert encoded(tmp_path / "log")["image"] <= ROWS + 2 * PART_ROWS, "more than the parts in hand were encoded twice"


def test_a_killed_driver_loses_only_the_parts_in_hand(tmp_path, extract, memes, undisturbed, address):
    """Its workers may outlive it for a moment: what they finish counts, too."""
    command = [sys.executable, str(TESTS / "fake_cluster.py"), str(tmp_path / "log"), "0.05", "--data", str(memes)]
    command += ["--features", str(tmp_path / "ray"), *OPTIONS, *IMAGES, "--engine", "ray", "--address", address]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (parts := part_files(tmp_path / "ray")) and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    assert parts, driver.communicate()[1]
    driver.communicate()
    settled = time.monotonic() + 60
    while (before := part_files(tmp_path / "ray")) and time.monotonic() < settled:
        time.sleep(1)  # until Ray has ended the dead driver's workers
        if before == part_files(tmp_path / "ray"):
            break
    (tmp_path / "log").unlink()
    assert extract(memes, "ray", *IMAGES) == 0
    kept = sum(len(store.read(path)) for path in ())
    assert published(tmp_path / "ray") == undisturbed
    left = ROWS - PART_ROWS * len(before)
    assert encoded(tmp_path / "log")["image"] <= -(-left // 4) * 4, f"{kept} rows of finished parts were encoded again"


def part_files(features: Path) -> list[Path]:
    return sorted(features.glob("*/.parts/*/[!.]*.h5"))
