"""Operating points and slices by a column, of our choosing."""

from experiments.evaluate.field_slices import NO_VALUE, FieldSlice, FieldSlices, Gap
from experiments.evaluate.operating_points import OperatingPoint, OperatingPoints, Stakes
from experiments.results.records import NAN, Figure

FIGURES = {
    "recall": Figure(0.8, low=0.7, high=0.9),
    "precision": Figure(0.6, low=0.5, high=0.7),
    "false_alarms": Figure(0.025, low=0.012, high=0.051),
    "reviewed": Figure(0.1, low=0.05, high=0.15),
    "error": Figure(0.2, low=0.1, high=0.3),
}


def points(run="r", more=(), heads=("text",)) -> OperatingPoints:
    """Of each head on dev and test: a recall, a share to review, and a precision that dev does not reach.

    more: figures besides, as cost.
    """
    figures = FIGURES | dict(more)
    made = [
        point
        for head in heads
        for split in ("dev", "test")
        for point in (
            OperatingPoint(head, "recall=0.8", split, 0.412, 0.412, figures),
            OperatingPoint(head, "review=0.1", split, 0.212, 0.641, figures, too_small=True),
            OperatingPoint(head, "precision=0.9", split, NAN, NAN, {}),
        )
    ]
    return OperatingPoints(run, Stakes(), made)


def slices(run="r", field="source", gaps=True) -> FieldSlices:
    """Of text on test: by "web", by "phone", and ten memes without a value."""
    rates = {"web": (0.3, 0.1), "phone": (0.1, 0.2), NO_VALUE: (0.2, 0.2)}
    pieces = [
        FieldSlice(
            "text", "test", value, 10 if value == NO_VALUE else 45, 9,
            {
                "auc_roc": Figure(0.7), "miss_rate": Figure(miss, low=miss / 2, high=2 * miss),
                "false_alarm_rate": Figure(alarm),
            },
        )
        for value, (miss, alarm) in rates.items()
    ]  # fmt: skip
    tested = [
        Gap("text", "test", "miss_rate", "web", "phone", 0.2, 0.05, 0.35, 0.01, 0.02),
        Gap("text", "test", "false_alarm_rate", "phone", "web", 0.1, -0.1, 0.3, 0.2, 0.2),
    ]
    return FieldSlices(run, field, {"test": 100}, {"test": 10}, pieces, tested if gaps else [])
