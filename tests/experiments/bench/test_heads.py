"""The benchmark of stage 2: every alternative is in its table, and each is what it says."""

import contextlib
import importlib
import io
import json

import numpy as np
import pytest

from experiments import training
from experiments.bench import __main__ as bench
from experiments.bench import heads, timing
from experiments.options import DEFAULT_HEADS, head_names
from extract import errors
from heads.settings import HeadSettings

COMPARED = head_names(DEFAULT_HEADS)


def here(command):
    """The command in this process: importing torch again, in one of its own, is most of what it would cost."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        importlib.import_module(command[2]).main(command[3:])
    return 1.0, printed.getvalue()


@pytest.mark.slow
def test_a_run_writes_every_alternative(tmp_path, monkeypatch):
    monkeypatch.setattr(heads, "PRODUCT_SECONDS", 0.01)
    short = {head: [HeadSettings(hidden=8, max_epochs=2, seed=seed) for seed in range(2)] for head in COMPARED}
    monkeypatch.setattr(training, "runs", lambda *_: short)
    monkeypatch.setattr(timing, "process", here)
    options = ["--train", "300", "--dev", "80", "--test", "80", "--dims", "12", "20", "--seeds", "2", "--repeats", "1"]
    assert bench.main(["heads", *options, "--device", "cpu", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "bench_heads.md").read_text()
    for way in ("| compare, cold", "| plain PyTorch, cold", "| one by one:", "| stacked, one", "| scikit-learn MLP"):
        assert way in page
    assert "300/80/80 rows of 12 + 20 dims, 4 heads x 2 seeds" in page
    raw = json.loads((tmp_path / "bench_heads.json").read_text())
    counts = {way: {head: len(auc) for head, auc in runs[0]["auc"].items()} for way, runs in raw["outcomes"].items()}
    ours, plain = dict.fromkeys(COMPARED, 2), dict.fromkeys(COMPARED, 1)
    assert counts == {
        "compare": ours, "heads only": ours, "plain": plain, "scikit-learn": {"early": 1},
        "one by one": ours, "side by side": ours, "stacked": ours,
    }  # fmt: skip
    outcomes = {way: runs[0]["auc"] for way, runs in raw["outcomes"].items()}
    for head in COMPARED:
        np.testing.assert_allclose(outcomes["compare"][head], outcomes["stacked"][head], atol=1e-6)
        for way in ("one by one", "side by side"):
            np.testing.assert_allclose(outcomes[way][head], outcomes["stacked"][head], atol=1e-6)


def test_time_for_fewer_seeds_is_scaled_without_the_start():
    measured = heads.Measured(wall=10.0, heads={"text": 2.0, "early": 6.0}, auc={})
    assert heads.scaled(measured, 1, 5) == 2.0 + 8.0 * 5


def test_a_process_that_fails_is_shown(tmp_path):
    with pytest.raises(errors.Failed, match=r"failed with status 2:\n.*no features folder"):
        heads.compare(tmp_path / "none", tmp_path, 1, "cpu", "none")


def test_operations_are_counted_by_layer():
    run = HeadSettings(hidden=8, depth=1, batch_size=100, min_steps=1)
    first, last = 4 * 30 * 8, 6 * 8
    assert heads.training_flops("early", (10, 20), [run], [2], rows=100) == 2 * 100 * (first + last)
    assert heads.training_flops("late", (10, 20), [run, run], [1, 1], rows=100) == 2 * 100 * (first + 2 * last)
    passes = HeadSettings(hidden=8, batch_size=50, min_steps=5)  # 2 steps a pass, so 3 passes
    assert heads.training_flops("text", (10, 20), [passes], [1], rows=100) == 3 * 100 * (4 * 10 * 8 + last)


def test_inputs_are_those_of_the_heads():
    sizes = {"text": [3], "image": [4], "early": [7], "late": [3, 4]}
    assert {head: heads.widths(head, (3, 4)) for head in COMPARED} == sizes
