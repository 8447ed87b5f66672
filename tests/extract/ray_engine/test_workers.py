"""What runs on a cluster's machines, and how it is shared out; without Ray."""

import hashlib
import platform
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_encoders import FakeImage, FakeText
from poisoned_decoder import CHILD, LETHAL, item
from tiny_encoders import resnet, text_folder, torch_home

from extract import images, store
from extract.encoders import catalogue, reading
from extract.encoders.reading import BadImage
from extract.engine import TextCounts
from extract.errors import Refused
from extract.parts import Folder, library_versions
from extract.plan import Item, Part
from extract.ray_engine import workers

pytest_plugins = ["elsewhere", "poisoned_decoder"]
pytestmark = pytest.mark.usefixtures("no_child_is_left")

MACHINE = f"machine {platform.node()} of the cluster"


def test_a_decoder_that_cannot_start_is_no_images_fault(tmp_path):
    part = Part((item(tmp_path / "good.png"),))
    decoded = workers.decode(batch_of(part), [images.decode_each], child=("-c", "raise SystemExit(3)"), data=tmp_path)
    report = encode(tmp_path, decoded)
    assert report.failure == (
        f"{MACHINE}: no decoder can be started ({sys.executable} -c raise SystemExit(3): exit status 3)"
    )
    assert report.bad == []


def batch_of(*parts: Part) -> dict[str, np.ndarray]:
    return {name: np.array([value], dtype=object) for name, value in workers.block(parts).items()}


def folder_of(place, kind) -> Folder:
    folder = Folder(place, kind, {"weights": "w"}, {"torch": "driver's"})
    folder.path.mkdir(exist_ok=True)
    return folder


def encode(place, batch, kind="image", encoder=None, batch_size=2, driver="") -> workers.Report:
    encoder = encoder or {"image": FakeImage, "text": FakeText}[kind]()
    return encode_with([(folder_of(place / kind, kind), encoder)], batch, batch_size, driver)


def encode_with(encoders, batch, batch_size=2, driver="") -> workers.Report:
    """encoders: each behind its folder."""
    loads = [lambda encoder=encoder: encoder for _, encoder in encoders]
    folders = [folder for folder, _ in encoders]
    job = workers.WorkerJob(loads, folders, batch_size=batch_size, threads=1, driver=driver)
    (report,) = workers.reports(workers.Encode(job)(batch))
    return report


def test_a_part_lands_without_its_bad_images(tmp_path):
    items = [item(tmp_path / name) for name in ("a.png", "bc.png", "def.png")]
    poison = item(tmp_path / "poison.png", LETHAL)
    part = Part((poison, *items))
    decoded = workers.decode(batch_of(part), [images.decode_each], child=CHILD, data=tmp_path)
    report = encode(tmp_path, decoded)
    assert report == workers.Report(
        4, [BadImage(poison.content, "it kills its decoder (signal SIGSEGV)")], reader=platform.node()
    )
    (path,) = tmp_path.glob("image/.parts/*/*.h5")
    features = store.read(path)
    assert features.ids.tolist() == [each.content for each in items]
    expected = FakeImage().encode([reading.decode(each, images.decode_each) for each in items])
    np.testing.assert_array_equal(features.vector, expected)
    assert features.identity.versions == library_versions("image"), "not those of the machine that encoded"


def test_encoders_of_one_row_share_its_decoding(tmp_path):
    """Two want one size, one another; one lacks less than the others, and each gets what it lacks."""
    flat = images.Squeeze(12, 8)

    class Flat(FakeImage):
        prepare = flat

        def encode(self, batch):
            return torch.from_numpy(np.stack(batch)).float().mean(dim=(1, 2)).repeat(1, 2)

    items = [item(tmp_path / name) for name in ("a.png", "bc.png", "def.png", "ghij.png")]
    bad = item(tmp_path / "bad.png", b"no image")
    lacks = [[bad, *items], [bad, *items], items[1:3]]
    encoders = [
        (folder_of(tmp_path / name, "image"), fake())
        for name, fake in (("one", FakeImage), ("flat", Flat), ("another", FakeImage))
    ]
    batch = batch_of(*(Part(tuple(each)) for each in lacks))
    decoded = workers.decode(batch, [images.decode_each, flat], child=CHILD, data=tmp_path)
    assert [decoded[name].shape for name in sorted(decoded) if "pixels" in name] == [
        (1, 5, 224, 224, 3),
        (1, 5, 8, 12, 3),
    ]
    report = encode_with(encoders, decoded)
    assert (report.rows, [each.content for each in report.bad]) == (12, [bad.content])
    for (folder, encoder), wanted in zip(encoders, lacks, strict=True):
        (path,) = folder.parts.glob("*.h5")
        features, good = store.read(path), [each for each in wanted if each != bad]
        assert features.ids.tolist() == [each.content for each in good]
        pixels = [reading.decode(each, encoder.prepare) for each in good]
        np.testing.assert_array_equal(features.vector, encoder.encode(pixels))


def test_a_finished_part_is_not_encoded_again(tmp_path):
    part = Part(tuple(Item(hashlib.sha256(text.encode()).hexdigest(), text) for text in ("a", "bb", "ccc")))
    first, second = FakeText(max_tokens=4), FakeText(max_tokens=4)
    counts = TextCounts(texts=3, cut=1, known=6)
    assert encode(tmp_path, batch_of(part), "text", first) == workers.Report(3, counts=counts)
    assert encode(tmp_path, batch_of(part), "text", second) == workers.Report(3)
    assert (len(first.encoded), len(second.encoded)) == (3, 0)
    (path,) = tmp_path.glob("text/.parts/*/*.h5")
    path.write_bytes(path.read_bytes()[:100])
    assert encode(tmp_path, batch_of(part), "text", second) == workers.Report(3, counts=counts)
    assert len(second.encoded) == 3, "a torn part was taken for a whole one"


@pytest.mark.parametrize("driver", [platform.node(), "elsewhere"])
def test_parts_that_are_uploaded_fill_no_workers_disk(memory, cache, driver):
    """The driver's machine alone needs its copies, for publishing."""
    part = Part((Item("0" * 64, "a text"),))
    (memory / "text/.lock").write_bytes(b"the driver's")
    for _ in range(2):  # the second finds it there, and looks into it
        assert encode(memory, batch_of(part), "text", driver=driver).rows == 1
        copies = [path for path in cache.rglob("*") if path.is_file()]
        assert len(copies) == (driver != "elsewhere")
    (path,) = memory.glob("text/.parts/*/*.h5")
    assert store.read(path).ids.tolist() == ["0" * 64]


def test_a_full_gpu_halves_the_batch(tmp_path):
    class Small(FakeImage):
        def encode(self, pixels):
            if len(pixels) > 2:
                raise torch.OutOfMemoryError
            return super().encode(pixels)

    part = Part(tuple(item(tmp_path / f"{'x' * number}.png") for number in range(1, 6)))
    decoded = workers.decode(batch_of(part), [images.decode_each], child=CHILD, data=tmp_path)
    small = Small()
    assert encode(tmp_path, decoded, encoder=small, batch_size=8).rows == 5
    assert small.batches == [2, 2, 2]

    class Full(FakeImage):
        def encode(self, pixels):
            raise torch.OutOfMemoryError

    (tmp_path / "image").rename(tmp_path / "before")
    assert encode(tmp_path, decoded, encoder=Full()).failure == (
        f"the GPU's memory on {platform.node()} does not hold one image"
    )


def test_a_machine_that_sees_no_data_blames_no_image(tmp_path):
    part = Part((item(tmp_path / "good.png"),))
    away = tmp_path / "away"
    report = encode(tmp_path, workers.decode(batch_of(part), [images.decode_each], child=CHILD, data=away))
    assert report == workers.Report(0, [], f"{MACHINE} sees no folder {away}: every machine must see it, at this path")


def test_weights_are_found_by_path_or_by_name_and_their_digest_is_checked(tmp_path, monkeypatch):
    located = catalogue.locate("text", str(text_folder(tmp_path / "driver")))
    assert workers.here(located) == located
    moved = tmp_path / "machine"
    (tmp_path / "driver").rename(moved)
    with pytest.raises(Refused, match=f"{MACHINE}: .*driver: no such folder"):
        workers.here(located)
    same = catalogue.locate("text", str(moved))
    monkeypatch.setattr(catalogue, "locate", lambda kind, name: same)
    assert workers.here(located) == same
    text_folder(moved, seed=1)
    other = SimpleNamespace(weights="f" * 64, path=moved)
    monkeypatch.setattr(catalogue, "locate", lambda kind, name: other)
    with pytest.raises(Refused, match=f"{MACHINE} has other weights of .*\n  {moved}: sha256 ffffffff, the driver's"):
        workers.here(located)


def test_a_grid_that_a_machine_finds_by_name_stays_a_grid(tmp_path, monkeypatch):
    """No pooled vectors under a grid's fingerprint; the catalogue itself is asked."""
    net = resnet()
    file = torch_home(monkeypatch, tmp_path / "driver", "resnet18", net)
    located = catalogue.locate("image", "resnet18:grid")
    torch_home(monkeypatch, tmp_path / "machine", "resnet18", net)
    file.unlink()
    named = workers.here(located)
    assert (named.path, named.pooling, named.slug) == (
        tmp_path / "machine" / "hub" / "checkpoints" / file.name,
        "grid",
        "resnet18-grid",
    )
    loaded = workers.load(located, device="cpu", dtype="float32", max_tokens=1)
    assert loaded.dim == 49 * 512
