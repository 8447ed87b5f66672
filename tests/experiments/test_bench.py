"""The benchmark of stage 2: every alternative is in its table, and each is what it says."""

import contextlib
import importlib
import io
import json

import numpy as np
import pytest
import torch
from torch import nn

from experiments import data as loading
from experiments import training
from experiments.bench import bench_tables, heads, plain_torch, random_features, roof, scaling, ways
from experiments.compare import HEADS
from extract import errors, store
from heads.models import HEADS as MODELS
from heads.settings import HeadSettings
from heads.train import Rows, fit

SIZES = {"train": 300, "dev": 80, "test": 80}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return random_features.publish(tmp_path_factory.mktemp("features"), SIZES, (12, 20))


def here(command):
    """The command in this process: importing torch again, in one of its own, is most of what it would cost."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        importlib.import_module(command[2]).main(command[3:])
    return 1.0, printed.getvalue()


def test_a_run_writes_every_alternative(tmp_path, monkeypatch):
    monkeypatch.setattr(roof, "ROOF_SECONDS", 0.01)
    short = {head: [HeadSettings(hidden=8, max_epochs=2, seed=seed) for seed in range(2)] for head in HEADS}
    monkeypatch.setattr(training, "runs", lambda *_: short)
    monkeypatch.setattr(ways, "process", here)
    options = ["--train", "300", "--dev", "80", "--test", "80", "--dims", "12", "20", "--seeds", "2", "--repeats", "1"]
    assert heads.main([*options, "--device", "cpu", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "bench_heads.md").read_text()
    for way in ("| compare, cold", "| plain PyTorch, cold", "| one by one:", "| stacked, one", "| scikit-learn MLP"):
        assert way in page
    assert "300/80/80 rows of 12 + 20 dims, 4 heads x 2 seeds" in page
    found = json.loads((tmp_path / "bench_heads.json").read_text())
    counts = {way: {head: len(auc) for head, auc in runs[0]["auc"].items()} for way, runs in found["outcomes"].items()}
    ours, plain = dict.fromkeys(HEADS, 2), dict.fromkeys(HEADS, 1)
    assert counts == {
        "compare": ours, "heads only": ours, "plain": plain, "scikit-learn": {"early": 1},
        "one by one": ours, "side by side": ours, "stacked": ours,
    }  # fmt: skip
    outcomes = {way: runs[0]["auc"] for way, runs in found["outcomes"].items()}
    for head in HEADS:
        np.testing.assert_allclose(outcomes["compare"][head], outcomes["stacked"][head], atol=1e-6)
        for way in ("one by one", "side by side"):
            np.testing.assert_allclose(outcomes[way][head], outcomes["stacked"][head], atol=1e-6)


def test_time_for_fewer_seeds_is_scaled_without_the_start():
    outcome = ways.Outcome(wall=10.0, heads={"text": 2.0, "early": 6.0}, auc={})
    assert bench_tables.scaled(outcome, 1, 5) == 2.0 + 8.0 * 5


def test_a_process_that_fails_is_shown(tmp_path):
    with pytest.raises(errors.Failed, match=r"failed with status 2:\n.*no features folder"):
        ways.compare(tmp_path / "none", tmp_path, 1, "cpu", "none")


@pytest.mark.parametrize("head", HEADS)
def test_the_plain_head_is_our_head(head):
    settings = HeadSettings(hidden=5, depth=2)
    ours = MODELS[head](3, 4, 5, 2, [torch.Generator().manual_seed(0)])
    plain = plain_torch.Head(head, 3, 4, vars(settings)).eval()
    linear = [layer for branch in plain.branches for layer in branch if isinstance(layer, nn.Linear)]
    stacks = [module for module in (getattr(ours, name, None) for name in ("text", "image", "both")) if module]
    parts = [part for each in stacks for part in zip(each.weights, each.biases, strict=True)]
    for layer, (weight, bias) in zip(linear, parts, strict=True):
        layer.weight.data, layer.bias.data = weight.data[0].T, bias.data[0]
    text, image = torch.randn(6, 3), torch.randn(6, 4)
    seen = MODELS[head].seen(text, image)
    torch.testing.assert_close(plain(text, image), ours(*seen)[0])


def test_the_plain_way_honours_every_setting():
    assert set(vars(HeadSettings())) == plain_torch.SETTINGS


def test_the_signal_is_where_it_is_said_to_be(features):
    data = loading.load(features)
    assert (data.text.dim, data.image.dim) == (12, 20)
    train, dev = (
        Rows(split.pairs.text_vec, split.pairs.image_vec, split.pairs.label.astype(np.int64))
        for split in (data.train, data.dev)
    )
    quick = HeadSettings(hidden=32, learning_rate=5e-3, weight_decay=0.1, max_epochs=20)
    auc = {head: fit(head, train, dev, [quick]).dev_auc.item() for head in HEADS}
    assert min(auc["text"], auc["image"]) > 0.52
    assert auc["early"] > auc["late"]
    assert random_features.best_auc() > 0.85


def test_random_features_are_the_same_however_they_are_cut(tmp_path, features, monkeypatch):
    monkeypatch.setattr(random_features, "BLOCK", 7)
    again = random_features.publish(tmp_path, SIZES, (12, 20))
    for kind in random_features.NAMES.values():
        vectors = [store.read(folder / kind / "train.h5").vector for folder in (features, again)]
        np.testing.assert_allclose(*vectors, rtol=0, atol=1e-6)  # the hints' product rounds differently


def test_operations_are_counted_by_layer():
    run = HeadSettings(hidden=8, depth=1, batch_size=100, min_steps=1)
    first, last = 4 * 30 * 8, 6 * 8
    assert roof.training_flops("early", (10, 20), [run], [2], rows=100) == 2 * 100 * (first + last)
    assert roof.training_flops("late", (10, 20), [run, run], [1, 1], rows=100) == 2 * 100 * (first + 2 * last)
    passes = HeadSettings(hidden=8, batch_size=50, min_steps=5)  # 2 steps a pass, so 3 passes
    assert roof.training_flops("text", (10, 20), [passes], [1], rows=100) == 3 * 100 * (4 * 10 * 8 + last)


def test_scaling_writes_points_and_a_plot(tmp_path, monkeypatch):
    told = {"seconds": 1.5, "own_mb": 300.0, "resident_mb": 400.0, "dev_auc": 0.5}
    monkeypatch.setattr(scaling, "process", lambda command: (2.0, json.dumps(told)))
    assert scaling.main(tmp_path, 60, "cpu") == 0
    points = json.loads((tmp_path / "bench_scaling.json").read_text())
    assert [point["rows"] for point in points if point["axis"] == "rows"] == [2, 6, 20, 60]
    assert [point["runs"] for point in points if point["axis"] == "runs"] == list(scaling.MANY_RUNS)
    assert (tmp_path / "bench_scaling.png").stat().st_size > 1000


def test_a_point_is_measured_in_a_process_of_its_own(features):
    point = scaling.measure("rows", features, 100, (12, 20), 2, "cpu")
    assert (point.rows, point.dims, point.runs) == (100, 32, 2)
    assert 0 < point.own_mb <= point.resident_mb
