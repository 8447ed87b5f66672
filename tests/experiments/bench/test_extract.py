"""The benchmark of stage 1: both ways give the same vectors, and every figure is in its table."""

import re

import pytest
from tiny_encoders import SMALL_BERT, resnet, torch_home

from experiments.bench import __main__ as bench
from experiments.bench import extract, random_inputs
from experiments.bench.extract import TimedModality, page
from extract.errors import Refused


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(random_inputs, "BERT", SMALL_BERT)
    monkeypatch.setattr(random_inputs, "BLOCKS", (1, 1, 1, 1))
    monkeypatch.setattr(extract, "LIMIT_BATCHES", 1)


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
def test_random_weights_are_measured_without_a_download(small, tmp_path, device):
    options = ["--random-weights", "--rows", "6", "--repeats", "2", "--no-memory", "--device", device]
    assert bench.main(["extract", *options, "--out", str(tmp_path)]) == 0
    written = (tmp_path / "bench_extract.md").read_text()
    assert written.startswith("# Stage 1: 6 drawn memes, medians of 2 interleaved runs, ")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in written.splitlines() if line.startswith("| ")]
    del rows[1]  # the rule below the header
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=False))
    assert columns["modality"] == ("text", "image")
    assert columns["encoder"] == ("BERT-base, random weights", "ResNet-50, random weights")
    for name in ("memefuse /s", "notebook /s", "encode limit /s"):
        assert all(float(cell) > 0 for cell in columns[name])
    assert columns["decode limit /s"][0] == ""
    assert float(columns["decode limit /s"][1]) > 0
    assert min(map(float, columns["least cosine"])) > 0.999


def test_the_table_says_what_was_measured():
    timed = TimedModality(80, [1.0, 2.0, 4.0], [8.0] * 3, encode=[0.5, 1.0, 2.0], decode=[0.1] * 3, cosine=0.9999)
    written = page("T", {"image": ("resnet50", timed)}, {128: 1049.4})
    row = "| image | resnet50 | 40.0 | 10.0 | 4.0 (2.0, 8.0) | 80.0 | 50% | 800.0 | 5% | 0.99990 |"
    assert row in written.splitlines()
    assert written.endswith("Peak memory of `python -m extract` on 128 memes: 1,049 MB.\n")
    assert "Random weights" not in written


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--text-encoder", "TEXT:mean"],
            r"TEXT:mean: the notebook's way, to compare with, has text vectors by cls; take TEXT$",
        ),
        (["--image-encoder", "tinynet:grid"], r"has image vectors by pooled; take tinynet$"),
        (
            ["--random-weights", "--text-encoder", "TEXT"],
            r"--random-weights brings encoders of its own: name none beside it$",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(small, tmp_path, monkeypatch, options, message):
    text = str(random_inputs.write_text_encoder(tmp_path / "text", ["a"]))
    torch_home(monkeypatch, tmp_path, "tinynet", resnet())
    monkeypatch.setattr(extract, "ENCODERS", {"text": text, "image": "tinynet"})
    monkeypatch.setattr(extract, "draw_memes", None)  # nothing is drawn before
    with pytest.raises(Refused, match=message.replace("TEXT", re.escape(text))):
        bench.main(["extract", *(option.replace("TEXT", text) for option in options)])


@pytest.mark.slow
def test_torchvisions_own_encoder_is_compared_too(small, tmp_path, monkeypatch):
    torch_home(monkeypatch, tmp_path, "tinynet", resnet())
    text = str(random_inputs.write_text_encoder(tmp_path / "text", ["a"]))
    options = ["--text-encoder", text, "--image-encoder", "tinynet", "--rows", "4", "--repeats", "1", "--no-memory"]
    assert bench.main(["extract", *options, "--device", "cpu", "--out", str(tmp_path)]) == 0
    row = next(line for line in (tmp_path / "bench_extract.md").read_text().splitlines() if line.startswith("| image"))
    assert float(row.split("|")[-2]) > 0.99
