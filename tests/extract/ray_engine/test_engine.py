"""The Ray engine on a cluster of two nodes: the local engine's bytes, nothing lost, nothing encoded twice."""

import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
import types
from contextlib import suppress
from pathlib import Path

import fake_cluster
import pytest
from fake_cluster import HELPERS, OPTIONS, PART_ROWS, draw, encoded, part_files, published
from tiny_encoders import resnet, resnet_folder, text_folder, vision_folder

from extract import engine, errors, store
from extract.__main__ import main
from extract.places import Place
from extract.ray_engine import decoder
from extract.ray_engine.engine import BLOCKS_AHEAD

pytest_plugins = ["elsewhere"]

pytest.importorskip("ray.data")
# of Ray's own making: sockets and processes that it leaves to its end, and what it calls of other libraries
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("error::ray.util.annotations.RayDeprecationWarning"),  # of what we call
]

ROWS = 60
IMAGES = ("--text-encoder", "none")
IN_HAND = 4 * PART_ROWS  # two encoders, and for each a part in its hands and one waiting


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """Its machines have what a bucket asks of them, where one can be had, and caches that are not the user's."""
    if all(importlib.util.find_spec(name) for name in ("moto", "s3fs")):
        request.getfixturevalue("s3_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMEFUSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        with fake_cluster.two_nodes() as made:
            yield made


class Stage1:
    """`python -m extract` in this process, with fake encoders; features go to place/<name>."""

    def __init__(self, place: Path, address: str, setattr) -> None:
        self.place, self.address, self.log = place, address, place / "log"
        self.setattr = setattr
        self.slow(0)

    def slow(self, seconds: float, mishap=None) -> None:
        """Let every batch take so long. mishap: what an encoder does instead of being loaded."""
        fake_cluster.install(self.log, seconds, self.setattr, mishap)

    def __call__(self, data: Place, name: str, *more: str, engine="ray") -> int:
        where = ("--engine", "ray", "--address", self.address) if engine == "ray" else ()
        features = name if "://" in name else str(self.place / name)
        return main(["--data", str(data), "--features", features, *OPTIONS, *where, *more])


@pytest.fixture
def extract(tmp_path, monkeypatch, cluster):
    return Stage1(tmp_path, cluster.address, monkeypatch.setattr)


@pytest.fixture(scope="module")
def memes(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("memes") / "data", ROWS)


@pytest.fixture(scope="module")
def undisturbed(memes, tmp_path_factory):
    """What the local engine publishes of the images."""
    place = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        assert Stage1(place, "", patch.setattr)(memes, "local", *IMAGES, engine="local") == 0
    return published(place / "local")


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
    assert "fake-image/train.dropped.txt" in published(tmp_path / "ray")
    assert encoded(extract.log)["text"] == 2 * ROWS, "a text that was held was encoded again"
    assert not list(tmp_path.glob("ray/*/.parts"))
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_real_encoders_give_the_same_bytes(tmp_path, memes, cluster, monkeypatch):
    """In float32, whatever the number of threads: here the driver's, there two for each encoder."""
    monkeypatch.setattr(engine, "PART_ROWS", {"cpu": {"text": 16, "image": 16}})
    encoders = ["--text-encoder", str(text_folder(tmp_path / "bert")), "--max-tokens", "32"]
    images = f"{resnet_folder(tmp_path / 'resnet', resnet())},{vision_folder(tmp_path / 'vit', 'vit')[0]}:cls"
    encoders += ["--image-encoder", images]
    for name, where in (("local", ()), ("ray", ("--engine", "ray", "--address", cluster.address))):
        assert main(["--data", str(memes), "--features", str(tmp_path / name), *OPTIONS, *encoders, *where]) == 0
    assert published(tmp_path / "ray") == published(tmp_path / "local")
    assert {path.split("-")[0] for path in published(tmp_path / "ray")} == {"bert", "resnet", "vit"}


def test_a_run_with_nothing_to_encode_needs_no_cluster(tmp_path, extract, memes):
    assert extract(memes, "features", engine="local") == 0
    before = encoded(extract.log), published(tmp_path / "features")
    extract.address = "127.0.0.1:1"
    assert extract(memes, "features") == 0
    assert (encoded(extract.log), published(tmp_path / "features")) == before


def test_a_cluster_that_is_not_there_is_refused(extract, memes):
    extract.address = "127.0.0.1:1"
    with pytest.raises(errors.Refused) as refusal:
        extract(memes, "ray", *IMAGES)
    assert "--address 127.0.0.1:1: no Ray cluster that can be used: [Errno 111] Connection refused" in str(
        refusal.value
    )
    assert "Start one with `ray start --head`" in str(refusal.value)


def stopped_by(mishap, extract, memes) -> list[str]:
    """What a run says, by lines, that ends with a mishap of all its encoders."""
    extract.slow(0, mishap=mishap)
    with pytest.raises(errors.Failed) as stopped:
        extract(memes, "ray", *IMAGES)
    return str(stopped.value).splitlines()


@pytest.mark.slow
def test_encoders_that_always_die_stop_the_run_and_say_so(tmp_path, extract, memes):
    """Ray Data by itself starts them again without end."""
    machine, *after = stopped_by(fake_cluster.die, extract, memes)
    assert re.fullmatch(
        r"fake-image: Ray gave up before a part was finished: machine [\d.]+ of the cluster: "
        r"The actor died unexpectedly before finishing this task\.",
        machine,
    )
    assert after == ["Finished parts are kept; run the same command again when the cluster is well."]


@pytest.mark.slow
def test_what_is_raised_on_a_machine_stops_the_run_in_words(tmp_path, extract, memes):
    machine, *after = stopped_by(fake_cluster.fall_ill, extract, memes)
    assert re.fullmatch(
        r"fake-image: machine [\d.]+ of the cluster: "
        r"RuntimeError: CUDA error: an illegal memory access was encountered",
        machine,
    )
    assert after[0].startswith("Finished parts are kept. Mend that machine, or leave it out")


@pytest.mark.slow
@pytest.mark.parametrize("who", ["decoder", "encoder"])
def test_a_module_that_a_machine_lacks_is_named(tmp_path, extract, memes, monkeypatch, who):
    """As is memefuse itself where it is not installed. Ray Data by itself tries without end."""
    here_alone = types.ModuleType("here_alone")
    here_alone.Arguments = type("Arguments", (tuple,), {"__module__": "here_alone"})
    monkeypatch.setitem(sys.modules, "here_alone", here_alone)
    if who == "decoder":
        monkeypatch.setattr(decoder, "CHILD", here_alone.Arguments(decoder.CHILD))
    else:
        extract.slow(0, mishap=here_alone.Arguments())
    with pytest.raises(errors.Failed) as stopped:
        extract(memes, "ray", *IMAGES)
    assert re.search(
        r"machine [\d.]+ of the cluster: ModuleNotFoundError: No module named 'here_alone'\n", str(stopped.value)
    )


@pytest.mark.slow
def test_an_image_that_one_machine_cannot_read_is_not_left_out(tmp_path, extract, memes, monkeypatch):
    """A link in the dataset's folder may lead to a disk that is mounted on the driver's machine alone."""
    blind = """
from extract.encoders import reading
from extract.ray_engine import decoder
from extract.ray_engine.engine import BLOCKS_AHEAD
def read(item, sound=reading.read_planned):
    return reading.BadImage(item.content, "cannot be read: No such file or directory") if "/7.png" in str(
        item.source) else sound(item)
reading.read_planned = read
decoder.main()
"""
    monkeypatch.setattr(decoder, "CHILD", ("-c", blind))
    with pytest.raises(errors.Failed) as stopped:
        extract(memes, "ray", *IMAGES, "--on-error", "skip")
    assert str(stopped.value).startswith(
        f"machine {platform.node()} of the cluster: {memes}/img/7.png cannot be read: No such file or directory; "
        "the driver can.\n"
    )
    assert not published(tmp_path / "ray")


@pytest.mark.slow
def test_memes_and_vectors_may_lie_in_a_bucket(extract, memes, undisturbed, bucket, upload):
    features = bucket / "features"
    assert extract(upload(memes, bucket / "data"), str(features), *IMAGES) == 0
    assert features.names() == list(undisturbed)
    there = {name: (features / name).read_bytes() for name in features.names()}
    records = [json.loads(files.pop("fake-image/dataset.json")) for files in (there, dict(undisturbed))]
    assert [record["splits"] for record in records] == [records[0]["splits"]] * 2  # `data` says where memes lie
    assert there == {name: content for name, content in undisturbed.items() if name.endswith(".h5")}
    assert encoded(extract.log)["image"] == ROWS


@pytest.mark.slow
def test_decoders_wait_for_encoders_however_many_images_there_are(tmp_path, extract, monkeypatch):
    """What lies decoded is bounded by the number of workers: in flight are the parts in `blocks` of `_settings`, and
    one that each encoder has been given."""
    decoded, parts = tmp_path / "decoded", 48
    logging = f"""
from extract.encoders import reading
from extract.ray_engine import decoder
from extract.ray_engine.engine import BLOCKS_AHEAD
def pixels(item, data, prepare, sound=reading.pixels):
    with open({str(decoded)!r}, "a") as file:
        file.write(".")
    return sound(item, data, prepare)
reading.pixels = pixels
decoder.main()
"""
    monkeypatch.setattr(decoder, "CHILD", ("-c", logging))
    data = draw(tmp_path / "data", parts * PART_ROWS)
    decoded.touch()
    extract.slow(0.1)
    ahead, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            done = encoded(extract.log)["image"]
            ahead.append(decoded.stat().st_size - done)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert extract(data, "ray", *IMAGES) == 0
    finally:
        over.set()
        watcher.join()
    encoders, decoders = 2, 4
    # 5 parts were seen, and 22 without the bound
    assert max(ahead) / PART_ROWS <= encoders * (2 + BLOCKS_AHEAD) + decoders < parts / 2


class Killer(threading.Thread):
    """Calls `strike` once so many rows are encoded."""

    def __init__(self, log: Path, rows: int, strike) -> None:
        super().__init__(daemon=True)
        self.log, self.rows, self.strike, self.struck = log, rows, strike, False
        self.start()

    def run(self) -> None:
        while sum(encoded(self.log).values()) < self.rows:
            time.sleep(0.005)
        self.strike()
        self.struck = True


@pytest.mark.slow
def test_a_killed_encoder_loses_nothing(tmp_path, extract, memes, undisturbed):
    extract.slow(0.02)

    def strike() -> None:
        last = extract.log.read_text().splitlines()[-1]
        os.kill(int(last.split()[-1]), signal.SIGKILL)

    killer = Killer(extract.log, 12, strike)
    assert extract(memes, "ray", *IMAGES) == 0
    assert killer.struck
    assert published(tmp_path / "ray") == undisturbed
    assert encoded(extract.log)["image"] <= ROWS + IN_HAND, "more than the parts in hand were encoded twice"
    assert not list(tmp_path.glob("ray/*/.parts/*/.*.tmp"))


@pytest.mark.slow
def test_a_killed_encoder_of_texts_loses_nothing(tmp_path, extract, memes):
    texts = ("--image-encoder", "none")
    assert extract(memes, "local", *texts, engine="local") == 0
    extract.log.unlink()
    extract.slow(0.1)
    killer = Killer(extract.log, 12, lambda: os.kill(int(extract.log.read_text().split()[-1]), signal.SIGKILL))
    assert extract(memes, "ray", *texts) == 0
    assert killer.struck
    assert published(tmp_path / "ray") == published(tmp_path / "local")
    assert encoded(extract.log)["text"] <= ROWS + IN_HAND, "more than the parts in hand were encoded twice"


@pytest.mark.slow
def test_a_killed_driver_loses_only_the_parts_in_hand(tmp_path, extract, memes, undisturbed):
    command = [sys.executable, str(HELPERS / "fake_cluster.py"), str(extract.log), "0.05", "--data", str(memes)]
    command += ["--features", str(tmp_path / "ray"), *OPTIONS, *IMAGES, "--engine", "ray", "--address", extract.address]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not part_files(tmp_path / "ray") and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    told = driver.communicate()[1]
    kept = settled_parts(tmp_path / "ray")
    assert kept, told
    held = [content for path in kept for content in store.read(path).ids.tolist()]
    extract.log.unlink()
    assert extract(memes, "ray", *IMAGES) == 0
    assert published(tmp_path / "ray") == undisturbed
    assert encoded(extract.log)["image"] == -(-(ROWS - len(held)) // 4) * 4, "a finished part was encoded again"


def settled_parts(features: Path) -> list[Path]:
    """Part files once the dead driver's workers, which may outlive it for a moment, have ended."""
    while True:
        before = part_files(features)
        time.sleep(1.5)
        if part_files(features) == before:
            return before


@pytest.mark.slow
def test_each_gpu_has_one_encoder(tmp_path, extract, memes, undisturbed):
    extract.slow(0.05)
    assert extract(memes, "ray", *IMAGES, "--device", "cuda") == 0
    assert published(tmp_path / "ray") == undisturbed
    pids = {line.split()[-1] for line in extract.log.read_text().splitlines()}
    assert len(pids) == 2


@pytest.mark.slow
def test_a_killed_decoder_loses_nothing_and_blames_no_image(tmp_path, extract, memes, undisturbed, monkeypatch):
    """The worker process itself, not its child."""
    pids = tmp_path / "pids"
    code = f"import os; open({str(pids)!r}, 'a').write(str(os.getppid()) + chr(10)); "
    code += "import time; from extract.encoders import reading; pixels = reading.pixels; "
    code += "reading.pixels = lambda *image: time.sleep(.2) or pixels(*image); "  # else all is decoded by then
    code += "from extract.ray_engine import decoder; decoder.main()"
    monkeypatch.setattr(decoder, "CHILD", ("-c", code))
    extract.slow(0.05)

    def strike():
        for pid in reversed(pids.read_text().split()):  # Ray may have let the newest go
            with suppress(ProcessLookupError):
                return os.kill(int(pid), signal.SIGKILL)
        raise AssertionError("no decoder lives")

    killer = Killer(extract.log, 4, strike)
    assert extract(memes, "ray", *IMAGES) == 0
    assert killer.struck
    assert published(tmp_path / "ray") == undisturbed


@pytest.mark.slow
def test_a_lost_node_loses_nothing(tmp_path, extract, memes, undisturbed, cluster):
    extract.slow(0.1)
    killer = Killer(extract.log, 12, lambda: cluster.remove_second())
    try:
        assert extract(memes, "ray", *IMAGES) == 0
    finally:
        cluster.add_second()
    assert killer.struck
    assert published(tmp_path / "ray") == undisturbed
    assert encoded(extract.log)["image"] <= ROWS + IN_HAND, "more than the parts in hand were encoded twice"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_ray_of_its_own_ends_with_the_command(tmp_path, memes, undisturbed, stop):
    """Ctrl-C and SIGKILL: no process is left behind, and no scratch folder, at the latest after the next command."""
    scratch = Path("/tmp", f"m{os.getpid() % 1000}")  # short: Ray's sockets lie in it
    scratch.mkdir()
    command = [sys.executable, str(HELPERS / "fake_cluster.py"), str(tmp_path / "log"), "0.2", "--data", str(memes)]
    command += ["--features", str(tmp_path / "ray"), *OPTIONS, *IMAGES, "--engine", "ray"]
    environment = os.environ | {"RAY_TMPDIR": str(scratch)}
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        while not part_files(tmp_path / "ray") and driver.poll() is None:
            time.sleep(0.01)
        driver.send_signal(stop)
        told = driver.communicate(timeout=60)[1]
        if stop == signal.SIGINT:
            assert (driver.returncode, told.splitlines()[-1]) == (130, "interrupted")
            assert "Traceback" not in told
            assert not list(scratch.iterdir())
        deadline = time.monotonic() + 60
        while (left := fake_cluster.processes_of(scratch)) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert not left
        again = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (again.returncode, published(tmp_path / "ray")) == (0, undisturbed), again.stderr
        assert not list(scratch.iterdir())
    finally:
        subprocess.run(["rm", "-rf", str(scratch)], check=True)
