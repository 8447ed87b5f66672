"""The benchmark of a GPU: refused where there is none, a table whatever breaks, and its parts at a tiny size."""

import subprocess

import pytest
from tiny_encoders import SMALL_BERT

from experiments import training
from experiments.bench import __main__ as bench
from experiments.bench import extract, gpu, heads, random_inputs
from extract import machine
from extract.errors import Refused


def test_without_a_gpu_it_says_so_and_does_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_no_cuda", lambda: "no NVIDIA driver is installed here")
    monkeypatch.setattr(gpu, "measure", None)
    with pytest.raises(Refused) as refused:
        bench.main(["gpu", "--out", str(tmp_path)])
    assert refused.value.status == 2
    assert str(refused.value).startswith(
        "bench gpu measures a GPU, and there is none to measure.\n--device cuda: no NVIDIA driver is installed here."
    )
    assert not list(tmp_path.iterdir())


def test_a_part_that_breaks_costs_its_own_rows_alone():
    def breaks():
        yield ["one", "begun"]
        raise RuntimeError("CUDA error: out of luck\nCompile with ...")

    def sound():
        yield ["two", "much", "1.00"]

    rows = gpu.measure({"first": breaks, "second": sound})
    assert rows == [
        ["one", "begun", "", "", "", ""],
        ["first", "failed: RuntimeError: CUDA error: out of luck", "", "", "", ""],
        ["two", "much", "1.00", "", "", ""],
    ]
    (late,) = gpu.measure({"second": sound}, seconds=-1.0)
    assert late[:2] == ["second", "left out: begun no more after -1 seconds"]
    assert "| two | much | 1.00 |  |  |  |" in gpu.page("a GPU", rows)


def test_stage_twos_part_on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "SIZES", {"train": 64, "dev": 40, "test": 40})
    monkeypatch.setattr(gpu, "DIMS", (6, 8))
    quick = {"hidden": 4, "min_steps": 1, "max_epochs": 1}
    of_recipe = training.runs
    monkeypatch.setattr(training, "runs", lambda heads, seeds, _: of_recipe(heads, seeds, dict.fromkeys(heads, quick)))
    cold = heads.Measured(2.0, {}, {})
    monkeypatch.setattr(heads, "compare", lambda *asked: cold)
    rows = list(gpu.training("cpu", (1, 2), tmp_path))
    assert [row[0].split(", test")[0] for row in rows] == ["stage 2, training", "stage 2, cold to table"] * 2
    assert [row[1] for row in rows[::2]] == ["4 heads x 1 seeds", "4 heads x 2 seeds"]
    assert all(float(row[2]) > 0 for row in rows)


TINY_CLIP = ("clip_vision_model", SMALL_BERT | {"image_size": 32, "patch_size": 16}, 32)


@pytest.fixture
def small(monkeypatch):
    """The encoders, with few and narrow layers."""
    monkeypatch.setattr(random_inputs, "BERT", SMALL_BERT)
    monkeypatch.setattr(random_inputs, "BLOCKS", (1, 1, 1, 1))
    monkeypatch.setitem(random_inputs.VISION, "CLIP-ViT-L-14-336", TINY_CLIP)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_stage_ones_parts_on_a_cpu(monkeypatch, tmp_path):
    formats = []

    def compare(kind, name, memes, folder, scratch, device, repeats):
        ours = extract.StageOne(kind, name, folder, device)
        ours.run(scratch / "features")
        formats.append(({meme.image.read_bytes()[:2] for meme in memes}, len(memes)))
        decode = [ours.decode_seconds(memes)] if kind == "image" else []
        return extract.TimedModality(len(memes), [1.0], [3.0], decode=decode)

    monkeypatch.setattr(extract, "compare", compare)
    parts = gpu.all_parts("cpu", 8, 1, tmp_path)
    assert list(parts)[3] == "stage 2"  # before what takes longest
    rows = [row for name, part in parts.items() if name != "stage 2" for row in part()]
    png, jpeg = {b"\x89P"}, {b"\xff\xd8"}
    assert formats[1:] == [(png, 8), (jpeg, 8), (png, 2), (jpeg, 2)]
    assert [(row[0], row[1].partition(",")[0]) for row in rows] == [
        ("stage 1, texts", "8 through BERT-base"),
        ("stage 1, PNG", "8 through ResNet-50"),
        ("stage 1, JPEG", "8 through ResNet-50"),
        ("stage 1, PNG", "2 through CLIP-ViT-L-14-336"),
        ("stage 1, JPEG", "2 through CLIP-ViT-L-14-336"),
    ]
    assert [row[4] for row in rows] == ["3.0 (3.0, 3.0)"] * 5
    assert all(row[5].endswith("%") for row in rows[1:])


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_its_parts_together_on_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(extract, "LIMIT_BATCHES", 1)
    monkeypatch.setattr(gpu, "SIZES", {"train": 64, "dev": 40, "test": 40})
    monkeypatch.setattr(gpu, "SEEDS", (1,))
    rows = gpu.measure(gpu.all_parts("cpu", 8, 1, tmp_path))
    assert len(rows) == 7
    assert not [row for row in rows if "failed" in row[1]]


def test_tests_that_hang_are_stopped(monkeypatch):
    def run(command, timeout, **_):
        assert timeout == gpu.TESTS_SECONDS
        raise subprocess.TimeoutExpired(command, timeout, b"..F\nFAILED one\n")

    monkeypatch.setattr(subprocess, "run", run)
    (first, second) = gpu.gpu_tests()
    assert first[:2] == ["gpu tests", "stopped after 150 seconds"]
    assert second == ["", "FAILED one"]
