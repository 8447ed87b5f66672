"""The engine in this process: a full GPU, a sick one."""

import errno
import io
import threading
import weakref
from types import SimpleNamespace

import pytest
import torch
from broken_images import Broken
from fake_encoders import FakeImage, FakeText
from PIL import Image
from tiny_encoders import resnet, resnet_folder

from experiments.scoring.vectors import image_item, text_item
from extract import encoders, engine, images, places
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
    engine.LocalEngine().encode(job, items, "fake", ExtractConfig(batch_size=8, quiet=True))
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
        engine.LocalEngine().encode(job, [], "fake", ExtractConfig(quiet=True))


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


def test_texts_that_are_cut_are_counted(capsys):
    encoder = FakeText(max_tokens=4)
    texts = ["a", "a longer text, which is cut", "b c d e f g h"]
    assert [ids.tolist() for ids in engine.tokenise(texts, encoder)] == encoder.prepare(texts)
    assert "2 of 3 texts are longer than 4 word pieces and cut there" in capsys.readouterr().err


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

    def write(folder, part, vectors, tokens):
        waited.append(encoder.third.wait(5))  # were it to write the first before the second is begun, for ever
        written.append(part.items)
        own(folder, part, vectors, tokens)

    monkeypatch.setattr(Folder, "write", write)
    parts, folder = cut(items, 1), Folder(tmp_path / "image", "image", {}, {"torch": "2"})
    assert engine.write_parts(parts, Batches(encoder, 1), folder) == []
    assert all(waited)
    assert written == [part.items for part in parts]
    assert set(Held.scan(folder).where) == {item.content for item in items}


def test_what_fails_comes_after_what_was_done_before_it(tmp_path):
    items = [image_item(data) for data in pngs(3)]
    items[2] = Item(items[2].content, Broken(errno.EIO))
    folder = Folder(tmp_path / "image", "image", {}, {"torch": "2"})
    with pytest.raises(Failed, match="cannot be read"):
        engine.write_parts(cut(items, 1), Batches(FakeImage(), 1), folder)
    assert set(Held.scan(folder).where) == {item.content for item in items[:2]}


def test_texts_are_tokenised_once(tmp_path, monkeypatch):
    encoder, seen = FakeText(), []
    encoder.located = SimpleNamespace(slug="fake")
    own = encoder.prepare
    monkeypatch.setattr(encoder, "prepare", lambda texts: seen.extend(texts) or own(texts))
    monkeypatch.setattr(engine, "load", lambda *_: encoder)
    monkeypatch.setitem(engine.PART_ROWS["cpu"], "text", 3)
    items = [text_item("x" * (number % 4) + str(number)) for number in range(8)]
    folder = Folder(tmp_path / "text", "text", {}, {"torch": "2"})
    job = engine.EncoderJob(SimpleNamespace(kind="text", slug="fake"), folder, "cpu", "float32")
    engine.LocalEngine().encode(job, items, "fake", ExtractConfig(quiet=True))
    assert sorted(seen) == sorted(item.source for item in items)
    held = Held.scan(folder)
    assert {content: held.tokens[content] for content in held.where} == {
        item.content: len(item.source) + 2 for item in items
    }


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
    assert engine.write_parts(cut(items, 3), Batches(encoder, 3), folder) == []


def pngs(count):
    for number in range(count):
        file = io.BytesIO()
        Image.new("RGB", (9, 9), (number, 0, 0)).save(file, "PNG")
        yield file.getvalue()
