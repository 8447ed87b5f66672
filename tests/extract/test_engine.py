"""The engine in this process: a full GPU, a sick one."""

import errno
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from broken_images import Broken
from fake_encoders import FakeImage, FakeText
from memes_on_disk import pngs
from PIL import Image
from tiny_encoders import resnet, resnet_folder

from experiments.scoring.vectors import image_item, text_item
from extract import encoders, engine, images, places, store
from extract.config import ExtractConfig
from extract.encoders import catalogue
from extract.encoders.batches import Batches
from extract.errors import Failed
from extract.parts import Folder, Held
from extract.plan import Item, cut

# a GPU that is full


class Activations:
    """What an encoder holds while it is at work."""


class Small(FakeImage):
    """An encoder on a GPU that holds so many images."""

    def __init__(self, room: int, error: RuntimeError) -> None:
        super().__init__()
        self.room, self.error, self.held = room, error, weakref.WeakSet()

    def encode(self, batch):
        activations = Activations()
        self.held.add(activations)
        if len(batch) > self.room:
            raise type(self.error)(*self.error.args)
        return super().encode(batch)


def on_a_gpu_with_room(room, tmp_path, monkeypatch, error=torch.OutOfMemoryError()):  # noqa: B008
    """Encode 20 images, in batches of 8 if there is room. Returns the encoder, what is held then, and what must be."""
    monkeypatch.setattr(engine, "load", lambda *_: gpu)
    items = []
    for number in range(20):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (9, 9), (number, 0, 0)).save(path)
        items.append(Item(places.digest(path), path))
    folder, gpu = Folder(tmp_path / "image", "image", {}, {"torch": "2"}), Small(room, error)
    job = engine.EncoderJob(SimpleNamespace(kind="image", slug="fake"), folder, "cpu", "float32")
    engine.LocalEngine().encode([engine.EncoderTask(job, items, "fake")], ExtractConfig(batch_size=8, quiet=True))
    return gpu, set(Held.scan(folder).where), {item.content for item in items}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "cublas"],
)
def test_batches_are_halved_until_memory_holds_them(tmp_path, monkeypatch, capsys, error):
    gpus, held_then = [], []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held_then.append(sum(len(gpu.held) for gpu in gpus)))
    monkeypatch.setattr(Small, "prepare", lambda self, contents: (gpus.append(self), images.decode_each(contents))[1])
    gpu, held, wanted = on_a_gpu_with_room(2, tmp_path, monkeypatch, error)
    assert held_then == [0, 0]  # else what failed would still take the memory that is given back
    assert (gpu.batches, held) == ([2] * 10, wanted)
    told = [line for line in capsys.readouterr().err.splitlines() if "memory" in line]
    assert told == [f"fake: GPU memory is full; going on with batch size {size}" for size in (4, 2)]


def test_memory_that_holds_no_image_is_said(tmp_path, monkeypatch):
    with pytest.raises(Failed, match=r"^fake: the GPU's memory does not hold one image$"):
        on_a_gpu_with_room(0, tmp_path, monkeypatch)


def test_a_gpu_that_fails_while_an_encoder_is_loaded_is_said_in_one_sentence(monkeypatch, tmp_path):
    def load(*_):
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`.")

    monkeypatch.setattr(engine, "load", load)
    located = SimpleNamespace(kind="image", slug="fake")
    job = engine.EncoderJob(located, Folder(tmp_path / "image", "image", {}, {}), "cuda", "float32")
    with pytest.raises(Failed, match=r"^fake: the GPU cannot go on \(CUDA error: device-side assert triggered\); fin"):
        engine.LocalEngine().encode([engine.EncoderTask(job, [], "fake")], ExtractConfig(quiet=True))


def test_a_compiler_that_fails_is_said_in_one_sentence(tmp_path, monkeypatch):
    broken = type("CppCompileError", (RuntimeError,), {"__module__": "torch._inductor.exc"})
    with pytest.raises(Failed, match=r"^fake: --compile: the compiler fails \(C\+\+ compile error\)\. Mend it, or"):
        on_a_gpu_with_room(2, tmp_path, monkeypatch, broken("C++ compile error\n\nCommand: ..."))


def test_a_gpu_that_fails_is_said_in_one_sentence(tmp_path, monkeypatch):
    sick = RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`.")
    with pytest.raises(Failed) as failure:
        on_a_gpu_with_room(2, tmp_path, monkeypatch, sick)
    assert str(failure.value) == (
        "fake: the GPU cannot go on (CUDA error: an illegal memory access was encountered); finished parts are kept: "
        "run the same command again, or with --device cpu"
    )
    with pytest.raises(RuntimeError, match=r"^shapes$"):  # a fault of ours is no GPU's
        on_a_gpu_with_room(2, tmp_path, monkeypatch, RuntimeError("shapes"))


def side_by_side(tmp_path, monkeypatch, made, **options):
    """Encode five images with these encoders. Returns what each folder holds then, in order, and what must be."""
    items = [image_item(data) for data in pngs(5)]
    loaded = iter(made)

    def load(*_):
        if isinstance(each := next(loaded), Exception):
            raise each
        return each

    monkeypatch.setattr(engine, "load", load)
    tasks = []
    for number in range(2):
        located = SimpleNamespace(kind="image", slug=f"fake-{number}", path=tmp_path / f"weights-{number}")
        folder = Folder(tmp_path / f"image-{number}", "image", {}, {"torch": "2"})
        tasks.append(engine.EncoderTask(engine.EncoderJob(located, folder, "cpu", "float32"), items, "fake"))
    config = ExtractConfig(quiet=True, **options)
    assert engine.LocalEngine().encode(tasks, config) == {}
    return [set(Held.scan(task.job.folder).where) for task in tasks], [{item.content for item in items}] * 2


class Crowded(FakeImage):
    """Has no room on the GPU while another encoder is there."""

    def __init__(self, others) -> None:
        super().__init__()
        self.others = others
        others.add(self)

    def encode(self, batch):
        if len(self.others) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().encode(batch)


def test_encoders_that_a_gpu_does_not_hold_side_by_side_go_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one batch after another, as a GPU takes them
    there: weakref.WeakSet = weakref.WeakSet()
    seen = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(len(there)))
    held, wanted = side_by_side(tmp_path, monkeypatch, (Crowded(there) for _ in range(4)), batch_size=4)
    assert held == wanted
    assert seen == [0]  # both have been let go of
    told = [line for line in capsys.readouterr().err.splitlines() if "memory" in line]
    assert told == ["fake-0, fake-1: GPU memory does not hold them side by side; going on one after another"]


def test_a_gpu_that_is_full_before_the_second_encoder_is_there_takes_one_after_another(tmp_path, monkeypatch, capsys):
    full = torch.OutOfMemoryError("CUDA out of memory")
    held, wanted = side_by_side(tmp_path, monkeypatch, [FakeImage(), full, FakeImage(), FakeImage()])
    assert held == wanted
    assert "going on one after another" in capsys.readouterr().err


@pytest.mark.parametrize(("room", "at_once"), [(300, 2), (299, 1)])
def test_image_encoders_are_in_memory_at_once_while_their_weights_are_small(tmp_path, monkeypatch, room, at_once):
    (tmp_path / "weights-0").mkdir()
    (tmp_path / "weights-0/model.safetensors").write_bytes(bytes(200))
    (tmp_path / "weights-1").write_bytes(bytes(100))  # torchvision's is a file
    monkeypatch.setattr(engine, "TOGETHER_BYTES", room)
    there, most = weakref.WeakSet(), []

    class Seen(FakeImage):
        def encode(self, batch):
            most.append(len(there))
            return super().encode(batch)

    def load():
        while True:
            there.add(encoder := Seen())
            yield encoder

    held, wanted = side_by_side(tmp_path, monkeypatch, load())
    assert held == wanted
    assert max(most) == at_once


def test_a_run_that_two_share_is_timed_by_what_each_took(tmp_path, monkeypatch):
    class Slow(FakeImage):
        def encode(self, batch):
            time.sleep(0.05)
            return super().encode(batch)

    side_by_side(tmp_path, monkeypatch, iter([FakeImage(), Slow()]), batch_size=1)
    quick, slow = (store.read_speed(tmp_path / f"image-{number}") for number in range(2))
    assert (quick.contents, slow.contents) == (5, 5)
    assert slow.seconds > 5 * quick.seconds


def test_texts_that_are_cut_are_counted(capsys):
    tokeniser = engine.Tokeniser(encoder := FakeText(max_tokens=4))
    texts = ["a", "a longer text, which is cut", "b c d e f g h"]
    assert tokeniser(texts[:1]) + tokeniser(texts[1:]) == encoder.prepare(texts)
    tokeniser.counts.say(encoder)
    assert capsys.readouterr().err == "note: fake-text: 2 of 3 texts are longer than 4 word pieces and cut there\n"


def test_texts_of_unknown_words_are_refused_before_any_is_encoded(tmp_path, monkeypatch):
    """Some of them are looked at; none of them is tokenised twice."""
    encoder = FakeText()
    monkeypatch.setattr(encoder, "known_and_unknown", lambda prepared: (0, sum(map(len, prepared))))
    monkeypatch.setattr(engine, "SAMPLE", 20)
    said = r"^the text encoder: .* of a sample of 20 of the 40 texts \(100\.0%\) are unknown to it\. Its vocabulary"
    with pytest.raises(Failed, match=said):
        encode_texts(tmp_path, monkeypatch, encoder, 40)
    assert encoder.encoded == []


# on a GPU nobody waits


class Whole(FakeImage):
    """Tells when it has encoded three parts."""

    def __init__(self) -> None:
        super().__init__()
        self.third = threading.Event()

    def encode(self, batch):
        vectors = super().encode(batch)
        if len(self.batches) >= 3:
            self.third.set()
        return vectors


def test_parts_are_written_while_the_next_two_are_encoded(tmp_path, monkeypatch):
    items = [image_item(data) for data in pngs(5)]
    encoder, written, waited = Whole(), [], []
    own = Folder.write
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setitem(engine.BEHIND, "cpu", engine.BEHIND["cuda"])

    def write(folder, part, vectors, tokens):
        waited.append(encoder.third.wait(5))  # were it to write the first before the second is begun, for ever
        written.append(part.items)
        own(folder, part, vectors, tokens)

    monkeypatch.setattr(Folder, "write", write)
    parts, folder = cut(items, 1), Folder(tmp_path / "image", "image", {}, {"torch": "2"})
    assert engine.write_parts([(parts, Batches(encoder, 1), folder)]) == []
    assert all(waited)
    assert written == [part.items for part in parts]
    assert set(Held.scan(folder).where) == {item.content for item in items}


def test_what_fails_comes_after_what_was_done_before_it(tmp_path):
    items = [image_item(data) for data in pngs(3)]
    items[2] = Item(items[2].content, Broken(errno.EIO))
    folder = Folder(tmp_path / "image", "image", {}, {"torch": "2"})
    with pytest.raises(Failed, match="cannot be read"):
        engine.write_parts([(cut(items, 1), Batches(FakeImage(), 1), folder)])
    assert set(Held.scan(folder).where) == {item.content for item in items[:2]}


def encode_texts(tmp_path, monkeypatch, encoder, count):
    """So many texts, in parts of three. Returns their items and what is held then."""
    encoder.located = SimpleNamespace(slug="fake")
    monkeypatch.setattr(engine, "load", lambda *_: encoder)
    monkeypatch.setitem(engine.PART_ROWS["cpu"], "text", 3)
    items = [text_item("x" * (number % 4) + str(number)) for number in range(count)]
    folder = Folder(tmp_path / "text", "text", {}, {"torch": "2"})
    job = engine.EncoderJob(SimpleNamespace(kind="text", slug="fake"), folder, "cpu", "float32")
    engine.LocalEngine().encode([engine.EncoderTask(job, items, "fake")], ExtractConfig(quiet=True))
    return items, Held.scan(folder)


@pytest.mark.parametrize("sample", [1024, 5, 1])
def test_texts_are_tokenised_once(tmp_path, monkeypatch, sample):
    encoder, seen = FakeText(), []
    own = encoder.prepare
    monkeypatch.setattr(encoder, "prepare", lambda texts: seen.extend(texts) or own(texts))
    monkeypatch.setattr(engine, "SAMPLE", sample)
    items, held = encode_texts(tmp_path, monkeypatch, encoder, 8)
    assert sorted(seen) == sorted(item.source for item in items)
    assert {content: held.tokens[content] for content in held.where} == {
        item.content: len(item.source) + 2 for item in items
    }


def test_a_text_is_encoded_before_the_last_is_tokenised(tmp_path, monkeypatch):
    encoder, events = FakeText(), []
    prepare, encode = encoder.prepare, encoder.encode
    monkeypatch.setattr(encoder, "prepare", lambda texts: events.append(len(texts)) or prepare(texts))
    monkeypatch.setattr(encoder, "encode", lambda batch: events.append("encode") or encode(batch))
    monkeypatch.setattr(engine, "SAMPLE", 1)
    encode_texts(tmp_path, monkeypatch, encoder, 60)
    assert "encode" in events[:6]
    assert max(count for count in events if count != "encode") == 3  # a part


def test_a_cpu_call_never_wakes_cuda(tmp_path, monkeypatch):
    def woken(*_, **__):
        raise AssertionError("CUDA was asked")

    for name in ("_lazy_init", "is_available", "Stream", "Event", "current_stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, woken)
    monkeypatch.setattr(torch.Tensor, "pin_memory", woken)
    config = ExtractConfig(device="cpu", dtype="float32", quiet=True)
    assert engine.LocalEngine().processor(config) == ("cpu", "float32")
    items = [image_item(data) for data in pngs(3)]
    encoder = encoders.load(
        catalogue.locate("image", str(resnet_folder(tmp_path / "net", resnet()))), device="cpu", dtype="float32",
        max_tokens=1,
    )  # fmt: skip
    folder = Folder(tmp_path / "image", "image", {}, {"torch": "2"})
    assert engine.write_parts([(cut(items, 3), Batches(encoder, 3), folder)]) == []


@pytest.mark.parametrize(
    ("kind", "device", "dim", "batch_size", "rows"),
    [
        ("image", "cpu", 2048, 8, 256),
        ("image", "cpu", 49 * 2048, 8, 256),
        ("image", "cpu", 49 * 2048, 100, 200),  # whole batches: a short one costs as much as a full one
        ("image", "cuda", 49 * 2048, 256, 1280),  # not 1,337, and more than one batch
        ("image", "cuda", 49 * 2048, 1400, 1400),  # a batch is held in memory anyway
        ("text", "cuda", 768, 256, 32768),
        ("text", "cuda", 8192, 256, 16384),
    ],
)
def test_a_parts_vectors_stay_small_in_memory(kind, device, dim, batch_size, rows):
    assert engine.part_rows(kind, device, dim, batch_size) == rows


def test_the_local_engine_never_imports_ray(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent / "helpers")!r})
from pathlib import Path
import fake_cluster
data = fake_cluster.draw(Path({str(tmp_path / "data")!r}), 3)
fake_cluster.install(Path({str(tmp_path / "log")!r}))
from extract.__main__ import main
main(["--data", str(data), "--features", {str(tmp_path / "features")!r}, *fake_cluster.OPTIONS])
print({{"ray", "pyarrow"}} & set(sys.modules))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent
    )
    assert answer.stdout == "set()\n", answer.stderr
