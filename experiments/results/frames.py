"""Records as pandas frames, for people who read on in Python, and as CSV. pandas is imported when a frame is made."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.results.records import NAN, Across, Figure, Leaderboard

if TYPE_CHECKING:
    import pandas as pd

    from experiments.evaluate.field_slices import FieldSlices
    from experiments.evaluate.operating_points import OperatingPoint


def frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)


def together(parts: "Iterable[pd.DataFrame]") -> "pd.DataFrame":
    """Return their rows one below the other; a frame without any where there is none."""
    import pandas as pd

    frames = list(parts)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def csv(table: "pd.DataFrame", float_format: str | None = "%.6f") -> str:
    """Return a frame as CSV; empty where a figure is undefined or has no interval."""
    return str(table.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def columns(figures: Mapping[str, Figure], parts: Sequence[str] = ("mean", "sd", "low", "high")) -> dict[str, float]:
    return {f"{name}_{part}": getattr(figure, part) for name, figure in figures.items() for part in parts}


def some(record: Any, *names: str) -> dict[str, Any]:
    """Return these fields of a record."""
    return {name: getattr(record, name) for name in names}


def operating_points(points: "Sequence[OperatingPoint]") -> "pd.DataFrame":
    """Return a row for each head, goal and split: thresholds, and each figure's _mean, _low and _high."""
    names = ("head", "goal", "split", "low", "high", "too_small")
    return frame(some(point, *names) | columns(point.figures, ("mean", "low", "high")) for point in points)


def field_slices(answer: "FieldSlices") -> "pd.DataFrame":
    """Return a row for each head, split and value of a column: memes, and each figure's _mean, _low and _high."""
    names = ("head", "split", "value", "memes", "positive")
    return frame(
        {"field": answer.field} | some(each, *names) | columns(each.figures, ("mean", "low", "high"))
        for each in answer.slices
    )


def leaderboard(board: Leaderboard) -> "pd.DataFrame":
    """Return a row for each row and split, in the order of dev: cost, figures, and what the best is ahead by."""
    pairs = {(pair.split, pair.against): pair for pair in board.pairs}
    names = ("head", "text_encoder", "image_encoder", "dims")
    tested = ("difference", "low", "high", "p", "p_holm", "detectable", "memes_needed")
    return frame(
        {"rank": place}
        | some(each, *names)
        | {"seconds_a_meme": each.seconds, "device": each.device, "level": int(each.level), "split": split}
        | columns(row.metrics)
        | {f"best_ahead_{part}": getattr(pairs.get((split, each.name)), part, NAN) for part in tested}
        for place, each in enumerate(board.standings, 1)
        for split, row in each.splits.items()
    )


def across(ranks: Across) -> "pd.DataFrame":
    """Return a row for each row that the datasets share: its mean rank, and AUC-ROC on each."""
    return frame(
        {"name": name, "mean_rank": rank} | dict(zip(ranks.datasets, areas, strict=True))
        for name, rank, areas in zip(ranks.names, ranks.mean_rank, ranks.auc_roc, strict=True)
    )
