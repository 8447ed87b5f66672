"""The ways of training four heads over several seeds that `bench heads` measures, each once."""

import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from experiments import training
from experiments.bench.random_features import NAMES
from experiments.data import Data
from experiments.results import records
from extract import errors
from heads.metrics import auc_roc
from heads.rows import Scaling, read
from heads.train import Fitted, HeadSettings, fit

HOME = Path(__file__).parents[2]
Runs = Mapping[str, Sequence[HeadSettings]]  # by head


@dataclass(frozen=True)
class Outcome:
    """One measurement of one way."""

    wall: float  # seconds, from start to end
    heads: dict[str, float]  # seconds of training, by head; they may overlap
    auc: dict[str, list[float]]  # on test, by head, one per run


def compare(features: Path, out: Path, seeds: int, device: str, references: str) -> Outcome:
    """`python -m experiments.compare` in a process of its own, cold start to written files."""
    command = [sys.executable, "-m", "experiments.compare", "--features", str(features), "--out", str(out)]
    wall, _ = process([*command, "--seeds", str(seeds), "--device", device, "--references", references])
    runs = records.from_lines((out / "runs.jsonl").read_text(encoding="utf-8"))
    scored = [run for run in runs if run.split == "test" and run.kind == "head"]
    auc: dict[str, list[float]] = {}
    for run in scored:
        auc.setdefault(run.head, []).append(run.metrics["auc_roc"])
    return Outcome(wall, {run.head: run.seconds for run in scored}, auc)


def plain(features: Path, scratch: Path, runs: Runs, epochs: Mapping[str, Sequence[int]], device: str) -> Outcome:
    """The plain PyTorch way, also in a process of its own; each run trains as many epochs as ours did."""
    job = {
        "features": {kind: str(features / name) for kind, name in NAMES.items()},
        "runs": {
            head: [
                {"settings": asdict(run), "epochs": trained} for run, trained in zip(asked, epochs[head], strict=False)
            ]
            for head, asked in runs.items()
        },
        "device": device,
    }
    path = scratch / "job.json"
    path.write_text(json.dumps(job))
    wall, printed = process([sys.executable, "-m", "experiments.bench.plain_torch", str(path)])
    told = json.loads(printed)
    return Outcome(wall, {head: told["seconds"][head] for head in runs}, told["auc"])


def side_by_side(data: Data, runs: Runs, device: str) -> Outcome:
    """compare's training, in this process: a head's runs at once, and heads side by side."""
    asked = {head: list(each) for head, each in runs.items()}
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # a line per head
        trained = training.heads(data, asked, device, "none")
    wall = time.perf_counter() - start
    test = data.tests[0]
    label = torch.from_numpy(test.pairs.label.astype(np.int64))
    auc = {each.name: auc_roc(each.logit[test.name], label).tolist() for each in trained}
    return Outcome(wall, {each.name: each.seconds for each in trained}, auc)


def stacked(data: Data, runs: Runs, device: str) -> tuple[Outcome, dict[str, Fitted]]:
    """Our own code in this process, a head's runs at once, one head after the other."""
    train, dev, test = (training.rows(split) for split in (data.train, data.dev, data.tests[0]))
    fitted = {head: fit(head, train, dev, asked, device=device) for head, asked in runs.items()}
    auc = {head: auc_roc(each.logits(test), test.labels()).tolist() for head, each in fitted.items()}
    seconds = {head: each.seconds for head, each in fitted.items()}
    return Outcome(sum(seconds.values()), seconds, auc), fitted


def one_by_one(data: Data, runs: Runs, device: str) -> Outcome:
    """Our own code in this process, a run at a time."""
    seconds: dict[str, float] = {}
    auc: dict[str, list[float]] = {head: [] for head in runs}
    for head, asked in runs.items():
        single = [stacked(data, {head: [run]}, device)[0] for run in asked]
        seconds[head] = sum(each.wall for each in single)
        auc[head] = [each.auc[head][0] for each in single]
    return Outcome(sum(seconds.values()), seconds, auc)


def mlp_classifier(data: Data, run: HeadSettings, epochs: int) -> Outcome:
    """scikit-learn's MLPClassifier on both vectors side by side: one run, no dropout (it has none), no early stop."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import roc_auc_score
    from sklearn.neural_network import MLPClassifier

    sides = []
    for name in ("text_vec", "image_vec"):
        train, test = (getattr(split.pairs, name) for split in (data.train, data.tests[0]))
        scale = Scaling.fit(train)
        sides.append([scale(read(vec, slice(None))).numpy() for vec in (train, test)])
    train_vec, test_vec = (np.concatenate(both, axis=1) for both in zip(*sides, strict=True))
    passes = epochs * -(-run.min_steps // -(-len(train_vec) // run.batch_size))
    model = MLPClassifier(
        (run.hidden,) * run.depth, batch_size=min(run.batch_size, len(train_vec)), learning_rate_init=run.learning_rate,
        max_iter=passes, tol=0.0, n_iter_no_change=passes + 1, random_state=run.seed,
    )  # fmt: skip
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is asked to stop after so many epochs
        model.fit(train_vec, data.train.pairs.label)
    seconds = time.perf_counter() - start
    auc = float(roc_auc_score(data.tests[0].pairs.label, model.predict_proba(test_vec)[:, 1]))
    return Outcome(seconds, {"early": seconds}, {"early": [auc]})


def process(command: list[str]) -> tuple[float, str]:
    """Wall seconds and standard output."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    seconds = time.perf_counter() - start
    if done.returncode:
        raise errors.Failed(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def environment() -> dict[str, str]:
    """Of a process that imports this code. GOMP_SPINCOUNT is in it, set by errors.run: alike for all."""
    path = os.pathsep.join([str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def middle(values: Sequence[float], digits: int = 1) -> str:
    """Median, and in brackets the smallest and the largest: 4.2 (4.0, 4.9)."""
    low, median, high = min(values), statistics.median(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}, {high:.{digits}f})"
