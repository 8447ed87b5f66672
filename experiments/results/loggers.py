"""A comparison's figures and learning curves through other libraries' own loggers: TensorBoard's and MLflow's."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from experiments.results import models
from experiments.results.folder import Results
from extract.errors import need

PACKAGES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow",)}
Value = tuple[str, float, int]  # name, value, step


def refuse_missing(kind: str) -> None:
    """Raise Refused unless the library is installed, before any work."""
    need(PACKAGES[kind], f"--log {kind} needs", kind)


def log(results: Results, kind: str, folder: Path) -> None:
    """Log every run's curves and every row's figures. kind: "tensorboard" or "mlflow". folder: what a viewer opens."""
    refuse_missing(kind)
    LOGGERS[kind](results, folder)


def figures(results: Results) -> Iterator[Value]:
    """Yield each row's metrics at 0.5, with their interval's ends; undefined ones are left out."""
    for row in results.comparison.rows:
        for name, figure in row.metrics.items():
            parts = {"": figure.mean, "_low": figure.low, "_high": figure.high}
            yield from ((f"{row.split}/{plain(row.name)}/{name}{end}", value, 0) for end, value in parts.items())


def curves(results: Results) -> Iterator[Value]:
    """Yield each run's loss on train and dev and its AUC-ROC on dev, by epoch, as long as it ran."""
    for head, history in results.history.items():
        for curve in models.CURVES:
            for epoch, values in enumerate(getattr(history, curve), 1):
                yield from ((f"{head}/seed {seed}/{curve}", value, epoch) for seed, value in enumerate(values.tolist()))


def finite(results: Results) -> Iterator[Value]:
    return (each for part in (curves(results), figures(results)) for each in part if np.isfinite(each[1]))


def plain(name: str) -> str:
    """A row's name in the signs that both libraries allow."""
    return name.replace(",", "")


def to_tensorboard(results: Results, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / results.comparison.run)) as writer:
        for name, value, step in finite(results):
            writer.add_scalar(name.replace(" ", "_"), value, step)


def to_mlflow(results: Results, folder: Path) -> None:
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder was asked for, no database
    import mlflow

    comparison = results.comparison
    client = mlflow.MlflowClient(folder.resolve().as_uri())
    there = client.get_experiment_by_name("memefuse")
    experiment = there.experiment_id if there else client.create_experiment("memefuse")
    run = client.create_run(experiment, run_name=comparison.run).info.run_id
    for side, encoder in comparison.encoders.items():
        client.log_param(run, f"{side}_encoder", encoder.name)
    client.log_param(run, "seeds", comparison.seeds)
    every = [mlflow.entities.Metric(name, value, 0, step) for name, value, step in finite(results)]
    for start in range(0, len(every), 1000):  # the library's limit
        client.log_batch(run, metrics=every[start : start + 1000])
    client.set_terminated(run)


LOGGERS: dict[str, Callable[[Results, Path], None]] = {"tensorboard": to_tensorboard, "mlflow": to_mlflow}
