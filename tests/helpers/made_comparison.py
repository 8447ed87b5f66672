"""A record and a comparison with one of everything, without any training."""

from experiments.results.records import Ablation, Comparison, Figure, Pair, Record, Row, Slice, SplitSize
from extract.store import EncoderIdentity

NAN = float("nan")


def record(**changes) -> Record:
    values = {
        "head": "early",
        "kind": "head",
        "seed": 3,
        "split": "test",
        "memes": 100,
        "settings": {"hidden": 256, "note": None},
        "best_epoch": 7,
        "threshold": 0.41,
        "temperature": 1.0,
        "metrics": {"auc_roc": NAN, "accuracy": 0.5},
        "tuned": {"accuracy": 0.6},
        "counts": {"hits": 30, "false_alarms": 20, "misses": 30, "rest": 20},
        "tuned_counts": {"hits": 40, "false_alarms": 20, "misses": 20, "rest": 20},
        "features": {"bert": "ab12"},
        "code": "v1",
        "seconds": 1.5,
        "run": "0123456789abcdef",
    }
    return Record(**(values | changes))


def pair(difference=0.02, low=-0.01, high=0.05, p=0.2) -> Pair:
    return Pair("test", "early", "text", "auc_roc", 0.8 + difference, 0.8, low, high, p, p)


def comparison(**changes) -> Comparison:
    figure = Figure(0.812, 0.004, 0.781, 0.842)
    metrics = dict.fromkeys(("accuracy", "recall", "f1", "macro_f1", "auc_roc", "average_precision"), figure)
    metrics |= {"precision": Figure(NAN, undefined=2), "ece": Figure(0.05, 0.01), "brier": figure}
    tuned = dict.fromkeys(("accuracy", "precision", "recall", "f1", "macro_f1"), figure)
    values = {
        "encoders": {
            "text": EncoderIdentity("text", "my_bert", 768, "ab" * 32, {"pooling": "cls"}, {"torch": "2.5.0"}),
            "image": EncoderIdentity("image", "resnet50", 2048, "cd" * 32, {}, {}),
        },
        "splits": [
            SplitSize("train", 200, 200, 80, 180),
            SplitSize("dev", 100, 100, 40, 100, groups=100),
            SplitSize("test", 120, 100, 40, 90, groups=90),
            SplitSize("test_unseen", 50, 0, 0, 0),
        ],
        "seeds": 5,
        "settings": {"text": {"hidden": 256}, "early": {"hidden": 256}},
        "calibration": "none",
        "device": "cpu",
        "precision": "bfloat16",
        "rows": [
            Row(name, "head", split, 5, 0.4, metrics, tuned) for split in ("dev", "test") for name in ("text", "early")
        ]
        + [Row("chance", "reference", "test", 1, NAN, metrics | {"precision": Figure(0.4)}, {})],
        "judged": ["test"],
        "pairs": [
            Pair(
                "test", "early", "text", "auc_roc", 0.812, 0.793, -0.004, 0.041, 0.11, 0.22, 0, 0, "none", 0.032, 283.4
            ),
            Pair("test", "early", "text", "accuracy", 0.75, 0.7, 0.01, 0.09, 0.0004, 0.0004, 12, 7, "gain"),
        ],
        "linear": [Pair("test", "early", "LR both", "auc_roc", 0.812, 0.8, -0.01, 0.034, 0.3, 0.3, conclusion="none")],
        "other_pairs": [
            Pair("test", "text", "image", "auc_roc", 0.793, 0.7, 0.02, 0.16, 0.01, 0.02, 0, 0, "gain", 0.1)
        ],
        "slices": [Slice("test", "image not in train", 60, 24, {"text": figure, "early": Figure(0.9)})],
        "notes": ["test: 1 memes without an image vector left out: 00042."],
        "code": "v1",
        "versions": {"torch": "2.5.0"},
        "features": "features",
        "run": "0123456789abcdef",
    }
    return Comparison(**(values | changes))


def ablation(side, low, high, head="early", how="shuffled", split="test") -> Ablation:
    return Ablation(split, head, side, how, 0.8, 0.8 - (low + high) / 2, low, high)
