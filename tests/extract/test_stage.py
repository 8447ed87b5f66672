"""Stage 1 from Python, and its steps where the tests of the whole do not reach."""

import json
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tiny_encoders import resnet, resnet_folder, vision_folder

from extract import dataset, encoders, images, inspect, places, publish, stage, store
from extract.config import ExtractConfig
from extract.encoders import catalogue, reading
from extract.errors import Refused

pytest_plugins = ["faked_stage"]

OPTIONS = {"device": "cpu", "dtype": "float32", "batch_size": 1}


@pytest.fixture
def data(tmp_path) -> Path:
    """Two splits; the last image of train is empty."""
    (tmp_path / "data/img").mkdir(parents=True)
    for split, rows in {"train": 4, "dev": 2}.items():
        lines = []
        for row in range(rows):
            image = f"img/{split}-{row}.png"
            Image.new("RGB", (8, 8), (row, rows, 9)).save(tmp_path / "data" / image)
            lines.append(json.dumps({"id": f"{split}-{row}", "img": image, "text": f"{split} {row}", "label": row % 2}))
        (tmp_path / f"data/{split}.jsonl").write_text("\n".join(lines))
    (tmp_path / "data/img/train-3.png").write_bytes(b"")
    return tmp_path / "data"


def test_from_python_it_says_nothing_and_returns_what_it_published(extract, data, tmp_path, capsys):
    features = tmp_path / "features"
    published = stage.extract(data=str(data), features=features, on_error="skip", **OPTIONS)
    assert capsys.readouterr() == ("", "")
    assert [each.identity.kind for each in published.encoders] == ["image", "text"]
    for each in published.encoders:
        assert {name: split.memes for name, split in each.splits.items()} == {"train": 3, "dev": 2}
        assert [meme["id"] for meme in each.splits["train"].dropped] == ["train-3"]
        assert each.splits["dev"].dropped == []
        for name, split in each.splits.items():
            assert split.path == features / f"fake-{each.identity.kind}" / f"{name}.h5"
            assert store.read(split.path).identity == each.identity
    assert published.of("text") == published.encoders[1]


def test_it_is_what_the_command_does(extract, data, tmp_path, capsys):
    config = ExtractConfig(data=data, features=tmp_path / "python", image_encoder="none", **OPTIONS)
    stage.extract(config, verbose=True)
    told = capsys.readouterr().err
    assert f"{tmp_path}/python/fake-text/train.h5: 4 memes, written" in told
    assert extract(data, tmp_path / "command", "--image-encoder", "none")[0] == 0
    assert capsys.readouterr().err.replace("/command/", "/python/") == told
    for split in ("train", "dev"):
        one, other = (tmp_path / home / f"fake-text/{split}.h5" for home in ("python", "command"))
        assert one.read_bytes() == other.read_bytes()
    again = stage.extract(config, split="dev")  # options go before the config's own; what is there is published, too
    assert list(again.of("text").splits) == ["dev"]


def test_from_python_faults_are_exceptions(extract, data, tmp_path, capsys):
    with pytest.raises(Refused, match="no data folder"):
        stage.extract(data=tmp_path / "none", features=tmp_path / "features")
    with pytest.raises(TypeError, match="no_such_option"):
        stage.extract(data=data, no_such_option=1)
    assert capsys.readouterr() == ("", "")


def test_a_skipped_memes_text_is_not_encoded_and_no_part_stays(extract, data, tmp_path, capsys):
    features = tmp_path / "features"
    assert extract(data, features, "--on-error", "skip") == (0, 5, 5)
    assert not list(features.glob("*/.parts"))
    assert extract(data, features, "--on-error", "skip") == (0, 0, 0)
    assert inspect.main([str(features)]) == 0
    assert "not published" not in capsys.readouterr().out


def test_what_a_run_without_skip_has_encoded_of_a_bad_meme_goes(extract, data, tmp_path, monkeypatch):
    features = tmp_path / "features"
    with monkeypatch.context() as patch:
        patch.setattr(publish, "publish", lambda *_: [])  # killed before
        assert extract(data, features) == (0, 6, 5)
    assert extract(data, features, "--on-error", "skip") == (0, 0, 0)
    assert not list(features.glob("*/.parts"))


@pytest.mark.parametrize("shared", ["an id", "no split"])
def test_a_second_dataset_in_one_features_folder_is_refused(extract, data, tmp_path, capsys, shared):
    """Whether they share an id, or have no split in common."""
    features, other = tmp_path / "features", tmp_path / "other"
    assert extract(data, features, "--split", "dev")[0] == 0
    split, name = ("dev", "dev-0") if shared == "an id" else ("test", "else")
    (other / "img").mkdir(parents=True)
    Image.new("RGB", (8, 8), (200, 9, 9)).save(other / "img/1.png")
    (other / f"{split}.jsonl").write_text(json.dumps({"id": name, "img": "img/1.png", "text": "another", "label": 1}))
    before = {path: path.read_bytes() for path in features.rglob("*.*")}
    capsys.readouterr()
    for kinds in ([], ["--image-encoder", "none"]):
        assert extract(other, features, *kinds)[0] == 2
    assert (
        f"error: {features} holds vectors of another dataset, {data}, not of {other}: name another folder with "
        f"--features, or, if that is the same dataset, moved and changed, delete {features}/fake-image/dataset.json\n"
    ) in capsys.readouterr().err
    assert {path: path.read_bytes() for path in features.rglob("*.*")} == before


def test_a_dataset_that_grows_moves_or_has_no_record_yet_is_known(extract, data, tmp_path):
    features, moved = tmp_path / "features", tmp_path / "moved"
    assert extract(data, features, "--split", "dev")[0] == 0
    assert extract(data, features, "--on-error", "skip")[:2] == (0, 3)  # a split more, in the same folder
    data.rename(moved)
    assert extract(moved, features, "--on-error", "skip") == (0, 0, 0)
    records = list(features.glob("*/dataset.json"))
    assert {json.loads(record.read_text())["data"] for record in records} == {"../../moved"}
    assert {len(json.loads(record.read_text())["splits"]) for record in records} == {2}
    assert {its.data for its in store.recorded(features).values()} == {str(moved)}
    for record in records:
        record.unlink()  # as of earlier versions
    assert extract(moved, features, "--on-error", "skip") == (0, 0, 0)
    assert list(features.glob("*/dataset.json")) == records


def test_several_encoders_write_what_each_alone_writes_and_read_the_dataset_once(extract, data, tmp_path, monkeypatch):
    """To the byte, whether they are named on a command line or in a tuple."""
    monkeypatch.setattr(
        catalogue,
        "locate",
        lambda kind, name: SimpleNamespace(slug=f"{kind}-{name.split('=')[-1]}", kind=kind, path=tmp_path / "none"),
    )
    read, reading = [], dataset.read_split
    monkeypatch.setattr(dataset, "read_split", lambda *args: read.append(args[1]) or reading(*args))
    several = ["--text-encoder", "a, b,again=a", "--image-encoder", "c,d", "--on-error", "skip"]
    assert extract(data, tmp_path / "command", *several) == (0, 10, 10)
    assert read == ["train", "dev"]
    named = {"text_encoder": ("a", "b"), "image_encoder": ("c", "d")}
    together = stage.extract(data=data, features=tmp_path / "python", on_error="skip", **named, **OPTIONS)
    assert [each.identity.name for each in together.encoders] == ["image-c", "image-d", "text-a", "text-b"]
    assert (together.of("text"), together.of("image")) == (together.encoders[2], together.encoders[0])
    for pair in (("a", "c"), ("b", "d")):
        names = dict(zip(named, pair, strict=True))
        stage.extract(data=data, features=tmp_path / "alone", on_error="skip", **names, **OPTIONS)

    def files(home: str) -> dict[str, bytes]:
        found = [path for ending in ("h5", "txt") for path in (tmp_path / home).rglob(f"[!.]*.{ending}")]
        return {str(path.relative_to(tmp_path / home)): path.read_bytes() for path in found}

    assert len(files("alone")) == 12  # of four encoders: train, dev and what was left out of train
    assert files("command") == files("python") == files("alone")


@pytest.fixture
def counted(monkeypatch):
    """How often each image of a run is opened, and to which sizes it is squeezed."""
    counts: Counter[str] = Counter()
    opened, squeezed, read = images.Image.open, images._squeezed, reading.read_planned
    monkeypatch.setattr(images.Image, "open", lambda *args, **how: counts.update(["opened"]) or opened(*args, **how))
    monkeypatch.setattr(
        images, "_squeezed", lambda whole, to: counts.update([f"{to.width} {to.resample.name}"]) or squeezed(whole, to)
    )
    monkeypatch.setattr(reading, "read_planned", lambda item: counts.update(["read"]) or read(item))
    return counts


def test_each_image_is_read_and_decoded_once_for_all_image_encoders(data, tmp_path, monkeypatch, counted):
    """Of one size (a ResNet's two poolings) and of another; the files are to the byte those of runs of their own."""
    monkeypatch.setenv("MEMEFUSE_CACHE", str(tmp_path / "cache"))
    net = str(resnet_folder(tmp_path / "net", resnet()))
    names = (net, f"{net}:grid", str(vision_folder(tmp_path / "vit", "vit")[0]))
    how = {"data": data, "text_encoder": "none", "on_error": "skip", "device": "cpu", "dtype": "float32"}
    for name in names:
        stage.extract(features=tmp_path / "alone", image_encoder=name, **how)
    assert counted == {"read": 18, "opened": 15, "224 BILINEAR": 10, "32 BICUBIC": 5}  # one of six files is empty
    counted.clear()
    stage.extract(features=tmp_path / "together", image_encoder=names, **how)
    assert counted == {"read": 6, "opened": 5, "224 BILINEAR": 5, "32 BICUBIC": 5}
    files = {path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("[!.]*") if path.is_file()}
    assert len(files) == 15  # of three encoders: train, dev, what was left out of train, dataset.json and speed.json
    for path in files:
        if path.name != store.SPEED:
            assert (tmp_path / "together" / path).read_bytes() == (tmp_path / "alone" / path).read_bytes()


def test_only_what_an_encoder_lacks_is_encoded_and_the_decoding_is_shared(
    extract, data, tmp_path, monkeypatch, counted
):
    (data / "img/train-3.png").write_bytes((data / "img/train-2.png").read_bytes() + b"behind its end")
    located = {"kind": "image", "path": tmp_path / "none"}
    monkeypatch.setattr(catalogue, "locate", lambda kind, name: SimpleNamespace(slug=f"image-{name}", **located))
    images_alone = ["--text-encoder", "none", "--image-encoder"]
    assert extract(data, tmp_path / "features", *images_alone, "c", "--split", "dev") == (0, 0, 2)
    assert extract(data, tmp_path / "features", *images_alone, "d", "--split", "train") == (0, 0, 4)
    counted.clear()
    assert extract(data, tmp_path / "features", *images_alone, "c,d,e") == (0, 0, 4 + 2 + 6)
    assert counted == {"read": 6, "opened": 6, "224 BILINEAR": 6}
    assert extract(data, tmp_path / "alone", *images_alone, "e") == (0, 0, 6)
    for split in ("train", "dev"):
        vectors = [store.read(tmp_path / "features" / f"image-{name}/{split}.h5").vector.tobytes() for name in "cde"]
        assert vectors == [store.read(tmp_path / f"alone/image-e/{split}.h5").vector.tobytes()] * 3


def test_a_damaged_image_is_named_once_whatever_the_number_of_encoders(extract, data, tmp_path, monkeypatch, capsys):
    located = {"kind": "image", "path": tmp_path / "none"}
    monkeypatch.setattr(catalogue, "locate", lambda kind, name: SimpleNamespace(slug=f"image-{name}", **located))
    assert extract(data, tmp_path / "features", "--text-encoder", "none", "--image-encoder", "c,d")[0] == 1
    told = capsys.readouterr().err
    assert "1 of 6 images cannot be decoded" in told
    assert told.count("empty file") == 1


def test_what_encoding_took_stands_beside_the_vectors(extract, data, tmp_path):
    """Of the run that encoded most; a run that encodes nothing does not say a word."""
    assert extract(data, tmp_path, "--split", "dev", "--image-encoder", "none")[0] == 0
    few = store.read_speed(tmp_path / "fake-text")
    assert (few.contents, few.device, few.dtype) == (2, "cpu", "float32")
    assert few.machine
    assert 0 < few.each == few.seconds / 2 or few.seconds == 0  # rounded to milliseconds
    assert extract(data, tmp_path, "--split", "train", "--image-encoder", "none")[0] == 0
    most = store.read_speed(tmp_path / "fake-text")
    assert most.contents == 4
    assert extract(data, tmp_path, "--image-encoder", "none") == (0, 0, 0)
    assert store.read_speed(tmp_path / "fake-text") == most


def test_every_encoder_that_cannot_be_had_is_named_at_once(data, tmp_path, monkeypatch):
    def locate(kind, name):
        if name.startswith("no-"):
            raise Refused(f"unknown {kind} encoder {name!r}.")
        return SimpleNamespace(slug=name, kind=kind)

    monkeypatch.setattr(catalogue, "locate", locate)
    monkeypatch.setattr(encoders, "settings", lambda located, **how: {"weights": located.slug})
    with pytest.raises(Refused) as refused:
        stage.extract(
            data=data, features=tmp_path, text_encoder="a,no-b,no-c", image_encoder=("no-d", "e"), device="cpu"
        )
    assert str(refused.value) == (
        "unknown image encoder 'no-d'.\n\nunknown text encoder 'no-b'.\n\nunknown text encoder 'no-c'."
    )


def test_images_that_wait_to_be_read_are_dropped_when_reading_stops(monkeypatch):
    started, go_on = [], threading.Event()

    def digest(source):
        started.append(source)
        if source.name != "0":
            go_on.wait(60)
        return source.name

    monkeypatch.setattr(places, "digest", digest)
    monkeypatch.setattr(stage, "cores", lambda: 2)
    digests = stage.image_digests([Path(str(number)) for number in range(500)], quiet=True)
    assert next(digests) == "0"
    threading.Timer(1, go_on.set).start()  # so that waiting for what is queued would end, too
    digests.close()
    go_on.set()
    assert len(started) <= 4  # at work in two threads; 128 were queued
