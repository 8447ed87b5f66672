"""Results of a comparison from figures of our choosing."""

from dataclasses import replace

import numpy as np

from experiments.evaluate.tests import conclude
from experiments.results.folder import HeadPredictions, Results, SplitPredictions
from experiments.results.models import SavedHistory
from experiments.results.records import Comparison, Figure, Pair, Record, Row, SplitSize
from extract.store import EncoderIdentity

LABEL = np.array([1] * 40 + [0] * 60)
METRICS = ("average_precision", "accuracy", "precision", "recall", "f1", "macro_f1", "ece", "brier")
DECISIONS = METRICS[1:6]


def figure(mean, low, high, sd=0.004) -> Figure:
    return Figure(mean, sd, low, high)


def pair(low, high, p, fusion="early", measure="auc_roc", only=(0, 0)) -> Pair:
    middle = (low + high) / 2
    return concluded(Pair("test", fusion, "text", measure, 0.7 + middle, 0.7, low, high, p, p, *only))


def concluded(pair: Pair) -> Pair:
    return replace(pair, conclusion=conclude(pair))


def results(auc, pairs=(), slices=(), dev_auc=None, calls=None, **changes) -> Results:
    """Results with an AUC-ROC for each head on test; `calls`: each head's probability of each meme."""
    heads = list(auc)
    rows = []
    for split, figures in (("dev", dev_auc or auc), ("test", auc)):
        for name, area in figures.items():
            metrics = dict.fromkeys(METRICS, Figure(0.5)) | {"auc_roc": area, "ece": Figure(0.05)}
            metrics["macro_f1"] = Figure(changes.get("at_half", 0.70))
            tuned = dict.fromkeys(DECISIONS, Figure(0.5)) | {"macro_f1": Figure(changes.get("tuned", 0.71))}
            rows.append(Row(name, "head" if name in heads else "reference", split, 5, 0.4, metrics, tuned))
    comparison = Comparison(
        encoders={side: EncoderIdentity(side, "tiny", 3, "0" * 64, {}, {}) for side in ("text", "image")},
        splits=[SplitSize(split, 100, 100, 40, 100) for split in ("train", "dev", "test")], seeds=5,
        settings={head: {} for head in heads}, calibration="none", device="cpu", precision="float32",
        rows=rows, judged=[changes.get("judged", "test")],
        pairs=list(pairs), linear=changes.get("linear", []), slices=list(slices), notes=[], code="v1", versions={},
        other_pairs=changes.get("others", []),
    )  # fmt: skip
    calls = calls or {head: np.where(LABEL == 1, 0.6, 0.2) for head in heads}
    predictions = {head: HeadPredictions(head, [0], np.array([said])) for head, said in calls.items()}
    counts = {"hits": 20, "false_alarms": 0, "misses": 20, "rest": 60}
    records = [
        Record(head, "head", 0, split, 100, {}, 1, 0.4, 1.0, {}, {}, counts, counts, {}, "v1", 0.1, "run")
        for head in heads
        for split in ("dev", "test")
    ]
    ids = [f"{number:03d}" for number in range(100)]
    predicted = {split: SplitPredictions(split, ids, LABEL, predictions) for split in ("dev", "test")}
    return Results(comparison, records, predicted, changes.get("history", {}))


def history(best_epoch) -> SavedHistory:
    """Learning curves of three epochs; best_epoch: of each run."""
    curve = np.array([[0.9], [0.8], [0.7]]).repeat(len(best_epoch), axis=1)
    return SavedHistory(curve, curve, curve, np.array(best_epoch))
