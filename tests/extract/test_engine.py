"""The engine in this process: a full GPU, a sick one."""

import weakref
from types import SimpleNamespace

import pytest
import torch
from fake_encoders import FakeImage, FakeText
from PIL import Image

from extract import engine, images, places
from extract.config import ExtractConfig
from extract.errors import Failed
from extract.parts import Folder, Held
from extract.plan import Item

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
    assert engine.text_lengths(["a", "a longer text, which is cut", "b c d e f g h"], encoder) == [
        len(ids) for ids in encoder.prepare(["a", "a longer text, which is cut", "b c d e f g h"])
    ]
    assert "2 of 3 texts are longer than 4 word pieces and cut there" in capsys.readouterr().err
