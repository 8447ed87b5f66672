"""Figures and curves are logged, and other libraries read them back."""

import numpy as np
import pytest

from experiments import compare
from experiments.results import folder, loggers


def test_an_unknown_logger_is_refused(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--log", "paper", "logs"])
    assert "--log paper: unknown; there are tensorboard and mlflow" in capsys.readouterr().err


def test_figures_and_curves_are_logged(every_head):
    results = folder.read_results(every_head / "out")
    logged = {(name, step): value for name, value, step in loggers.finite(results)}
    history = results.history["early"]
    assert logged["early/seed 1/dev_auc", 2] == history.dev_auc[1, 1]
    area = results.rows("test")["early"].metrics["auc_roc"]
    assert (logged["test/early/auc_roc", 0], logged["test/early/auc_roc_low", 0]) == (area.mean, area.low)
    assert np.isfinite(list(logged.values())).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", loggers.LOGGERS)
def test_the_libraries_read_back_what_was_logged(every_head, tmp_path, kind):
    results = folder.read_results(every_head / "out")
    loggers.log(results, kind, tmp_path / "log")
    expected = results.rows("test")["early"].metrics["auc_roc"].mean
    if kind == "tensorboard":
        reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = reader.EventAccumulator(str(tmp_path / "log" / results.comparison.run)).Reload()
        [scalar] = events.Scalars("test/early/auc_roc")
        assert scalar.value == pytest.approx(expected)
    else:
        client = pytest.importorskip("mlflow").MlflowClient((tmp_path / "log").as_uri())
        [run] = client.search_runs([client.get_experiment_by_name("memefuse").experiment_id])
        assert run.data.metrics["test/early/auc_roc"] == pytest.approx(expected)
        assert len(client.get_metric_history(run.info.run_id, "early/seed 0/dev_auc")) > 1
