"""How training grows: what is measured, written and plotted."""

import json

from experiments.bench import random_inputs, scaling, timing


def test_every_training_is_written_and_plotted(tmp_path, monkeypatch):
    told = {"seconds": 1.5, "own_mb": 300.0, "resident_mb": 400.0}
    monkeypatch.setattr(timing, "process", lambda command: (2.0, json.dumps(told)))
    assert scaling.measure_all(tmp_path, 60, "cpu") == 0
    trainings = json.loads((tmp_path / "bench_scaling.json").read_text())
    assert [each["rows"] for each in trainings if each["axis"] == "rows"] == [2, 6, 20, 60]
    assert [each["runs"] for each in trainings if each["axis"] == "runs"] == list(scaling.MANY_RUNS)
    assert (tmp_path / "bench_scaling.png").stat().st_size > 1000


def test_a_training_is_measured_in_a_process_of_its_own(tmp_path):
    features = random_inputs.publish_vectors(tmp_path, {"train": 300, "dev": 80}, (12, 20))
    measured = scaling.measure("rows", features, 100, (12, 20), 2, "cpu")
    assert (measured.rows, measured.dims, measured.runs) == (100, 32, 2)
    assert 0 < measured.own_mb <= measured.resident_mb
