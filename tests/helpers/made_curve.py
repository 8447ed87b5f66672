"""A learning curve of two heads and a reference, of our choosing, without any training."""

from experiments.results.learning import LearningCurve, Point, PowerLaw
from experiments.results.records import Figure, SplitSize
from extract.store import EncoderIdentity

LAW = PowerLaw("text", "test", 30.0, 120.0, 0.1, 0.05, 0.15, 0.05, 0.4, 0.9, 0.5, 0.012, 0.004, 0.02)


def curve(**changes) -> LearningCurve:
    """Text rises on a power law; of early nothing is said, for the law does not fit."""
    areas = {"text": 0.7, "early": 0.75, "kNN both": 0.6, "majority class": 0.5}
    points = [
        Point(
            head, "head" if head in ("text", "early") else "reference", split, size, size - 1.0, 2, 3,
            Figure(area + size / 1000, 0.01, area - 0.05, area + 0.15),
        )
        for split in ("dev", "test") for head, area in areas.items() for size in (30, 60, 120)
    ]  # fmt: skip
    values = {
        "encoders": {side: EncoderIdentity(side, f"tiny-{side}", 4, side * 8, {}, {}) for side in ("text", "image")},
        "splits": [SplitSize(name, 100, 100, 40, 100, name) for name in ("train", "dev", "test")],
        "sizes": [30, 60, 120],
        "draws": 2,
        "seeds": 3,
        "settings": {"text": {"hidden": 8}, "early": {"hidden": 8}},
        "points": points,
        "judged": ["test"],
        "laws": [LAW, LAW.but(head="early", p=0.01, refused="poor fit"), LAW.but(head="kNN both", refused="no rise")],
        "notes": ["mind this"],
        "code": "v1",
    }
    return LearningCurve(**(values | changes))
