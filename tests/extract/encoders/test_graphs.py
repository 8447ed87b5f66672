"""Networks as CUDA graphs, by imitation: what is captured, replayed and let go of, on a CPU."""

import warnings
import weakref
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from fake_gpu import Waits, fake_gpu
from memes_on_disk import pngs
from tiny_encoders import VISION, images, resnet, resnet_folder, vision_folder
from torch.nn.functional import conv2d

from experiments.scoring.vectors import image_item
from extract import encoders, engine
from extract.config import ExtractConfig
from extract.encoders import catalogue, cudnn, graphs, resnet_model, vision_model
from extract.parts import Folder


def capture(run, batch):
    """As graphs.capture: what is launched now counts for nothing; a replay reads one place and writes another."""
    result = torch.empty_like(run(batch))
    return lambda: result.copy_(run(batch)), result


@pytest.fixture
def captured(monkeypatch):
    """Every processor is a GPU; returns how many were in each batch that was captured."""
    sizes = []
    monkeypatch.setattr(graphs, "fits", lambda device, compiled: True)
    monkeypatch.setattr(graphs, "capture", lambda run, batch: sizes.append(len(batch)) or capture(run, batch))
    return sizes


def batch(number, rows=4):
    return torch.full((rows, 3), float(number))


@pytest.mark.usefixtures("captured")
def test_a_shape_is_run_twice_and_then_replayed_and_results_are_copies():
    given = []
    replayed = graphs.ReplayedNetwork(lambda pixels: given.append(pixels) or pixels * 2)
    found = [replayed(batch(number)) for number in range(5)]
    assert [one[0, 0].item() for one in found] == [0, 2, 4, 6, 8]
    assert len({id(one) for one in given}) == 3  # two batches as they came, and the one place of all others


def test_another_shape_is_captured_anew_when_the_old_graph_is_gone(captured):
    held = []

    def run(pixels):
        held.append([result for result in results if result() is not None])
        return pixels + 1

    results = []
    replayed = graphs.ReplayedNetwork(run)
    for _ in range(3):
        replayed(batch(1, 8))
    results.append(weakref.ref(replayed._graph[2]))
    held.clear()
    assert [replayed(batch(number, 4))[0, 0].item() for number in range(4)] == [1, 2, 3, 4]
    assert captured == [8, 4]
    assert held[0] == []  # its memory was there for the new shape


def test_what_cannot_be_captured_runs_as_it_is(monkeypatch):
    tried = []

    def fails(run, given):
        tried.append(given)
        raise RuntimeError("operation not permitted when stream is capturing\nCompile with ...")

    monkeypatch.setattr(graphs, "capture", fails)
    replayed = graphs.ReplayedNetwork(lambda pixels: pixels * 2)
    with pytest.warns(RuntimeWarning, match="is not captured, which is slower: operation not permitted"):
        found = [replayed(batch(number))[0, 0].item() for number in range(4)]
    assert (found, len(tried)) == ([0, 2, 4, 6], 1)


def test_a_graph_of_other_bits_is_not_used(monkeypatch):
    monkeypatch.setattr(graphs, "capture", lambda run, given: capture(lambda pixels: run(pixels) * (1 + 1e-6), given))
    replayed = graphs.ReplayedNetwork(lambda pixels: pixels * 2)
    with pytest.warns(RuntimeWarning, match="is not captured, which is slower: it gives other bits"):
        assert [replayed(batch(number))[0, 0].item() for number in range(4)] == [0, 2, 4, 6]


def test_values_that_are_no_numbers_are_not_the_graphs_fault(captured):
    replayed = graphs.ReplayedNetwork(lambda pixels: pixels / 0)
    assert replayed(batch(0)).isnan().all()
    assert replayed(batch(0)).isnan().all()
    assert replayed._graph is not None


@pytest.mark.parametrize("within", ["run", "capture"])
def test_batches_that_are_too_large_are_halved_and_captured_anew(tmp_path, monkeypatch, capsys, captured, within):
    located = catalogue.locate("image", str(resnet_folder(tmp_path / "net", resnet())))
    items = [image_item(data) for data in pngs(20)]
    job = engine.EncoderJob(
        SimpleNamespace(kind="image", slug="net"), Folder(tmp_path, "image", {}, {}), "cpu", "float32"
    )
    counted = graphs.capture
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one batch after another, as a GPU takes them

    def full(pixels):
        if len(pixels) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")

    def vectors():
        encoder, written = encoders.load(located, device="cpu", dtype="float32", max_tokens=1), {}
        encoder.row_by_row = False
        if within == "run":
            encoder._net.register_forward_pre_hook(lambda net, given: full(given[0]))
        else:
            monkeypatch.setattr(graphs, "capture", lambda run, pixels: full(pixels) or counted(run, pixels))
        monkeypatch.setattr(engine, "load", lambda *_: encoder)
        monkeypatch.setattr(
            Folder, "write", lambda folder, part, vectors, tokens: written.update(zip(part.items, vectors, strict=True))
        )
        engine.LocalEngine().encode([engine.EncoderTask(job, items, "net")], ExtractConfig(batch_size=8, quiet=True))
        return {item.content: vector.tobytes() for item, vector in written.items()}

    halved = vectors()
    assert captured == [4]
    assert "net: GPU memory is full; going on with batch size 4\n" in capsys.readouterr().err
    monkeypatch.setattr(graphs, "fits", lambda device, compiled: False)
    assert halved == vectors()
    assert len(halved) == 20


def test_networks_are_captured_on_cudas_gpus_unless_compiled(tmp_path):
    cuda, cpu, mps = map(torch.device, ("cuda", "cpu", "mps"))
    assert [graphs.fits(*asked) for asked in ((cuda, False), (cuda, True), (cpu, False), (mps, False))] == [
        True, False, False, False,
    ]  # fmt: skip
    located = catalogue.locate("image", str(resnet_folder(tmp_path / "net", resnet())))
    assert not isinstance(
        encoders.load(located, device="cpu", dtype="float32", max_tokens=1)._run, graphs.ReplayedNetwork
    )


@pytest.mark.parametrize("breaks", [False, True])
def test_a_capture_that_breaks_off_is_over_for_the_allocator(monkeypatch, breaks):
    diary = []

    @contextmanager
    def graph(_, pool, stream, capture_error_mode):
        diary.append(f"begin in {pool}, {capture_error_mode}, current {streams[-1]}")
        yield
        diary.append("end")

    @contextmanager
    def current(stream):
        streams.append(stream)
        yield
        streams.pop()

    def run(pixels):
        if breaks:
            raise RuntimeError("operation not permitted when stream is capturing")
        return pixels

    streams = ["default"]
    for name, fake in {
        "CUDAGraph": lambda: SimpleNamespace(replay="replay"), "Stream": lambda: "side", "stream": current,
        "graph": graph, "graph_pool_handle": lambda: (0, 7), "current_device": lambda: 0,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, fake)
    for name in ("end", "release"):
        private = f"_cuda_{name}{'AllocateTo' * (name == 'end')}Pool"
        monkeypatch.setattr(torch._C, private, lambda *where, name=name: diary.append((name, *where)), raising=False)
    begin = "begin in (0, 7), thread_local, current side"
    if breaks:
        with pytest.raises(RuntimeError, match="not permitted"):
            graphs.capture(run, batch(1))
        assert diary == [begin, ("end", 0, (0, 7)), ("release", 0, (0, 7))]
    else:
        assert graphs.capture(run, batch(1))[0] == "replay"
        assert diary == [begin, "end"]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    def folder(kind):
        path = tmp_path_factory.mktemp("net") / kind
        return resnet_folder(path, resnet()) if kind == "resnet" else vision_folder(path, kind)[0]

    return cache(folder)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["resnet", *VISION])
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by the copy of a folded convolution
def test_a_network_asks_for_no_value_and_is_on_the_gpu_as_a_whole(monkeypatch, folder_of, kind, dtype):
    """Else it could not be captured."""
    located = catalogue.locate("image", str(folder_of(kind)))
    room, name = (resnet_model, "read_resnet") if kind == "resnet" else (vision_model, "read_vision_model")
    read, run = getattr(room, name)(located), []
    monkeypatch.setattr(room, name, lambda located: read)
    monkeypatch.setattr(graphs, "ReplayedNetwork", lambda function: run.append(function) or function)
    monkeypatch.setattr(torch, "cudnn_convolution_relu", lambda x, w, b, *how: torch.relu(conv2d(x, w, b, *how)))
    monkeypatch.setattr(
        torch, "cudnn_convolution_add_relu", lambda x, w, z, alpha, b, *how: torch.relu(conv2d(x, w, b, *how) + z)
    )
    monkeypatch.setattr(cudnn, "fits", lambda device, dtype: dtype != "float32")
    side = 224 if kind == "resnet" else 32
    with fake_gpu(monkeypatch, *(read if kind == "resnet" else [read])):
        encoder = encoders.load(located, device="cuda", dtype=dtype, max_tokens=1)
        for layer in encoder._net.modules():
            if isinstance(layer, cudnn.FusedConv):
                layer.tried = True  # what it asks at first
        pixels = torch.empty(4, side, side, 3, dtype=torch.uint8, device="cuda").permute(0, 3, 1, 2)
        with Waits() as waits:
            assert encoder.vectors(pixels).device.type == "cuda"
        assert not waits.seen
    assert len(run) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["resnet", *VISION])
def test_on_a_gpu_every_image_network_is_captured(folder_of, kind, dtype):
    located = catalogue.locate("image", str(folder_of(kind)))
    encoder = encoders.load(located, device="cuda", dtype=dtype, max_tokens=1)
    pixels = [images(4, seed).cuda() for seed in range(4)]
    if kind != "resnet":
        pixels = [each[:, :, :32, :32].contiguous() for each in pixels]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [encoder.vectors(each) for each in pixels]
    assert encoder._run._graph is not None
    with torch.inference_mode():
        for one, each in zip(found, pixels, strict=True):
            assert torch.equal(one, encoder._run._run(each))
