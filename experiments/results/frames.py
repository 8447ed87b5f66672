"""Records as pandas frames, for people who read on in Python. pandas is imported when a frame is made."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from experiments.results.records import Comparison, Figure, Record

if TYPE_CHECKING:
    import pandas as pd

    from experiments.evaluate.field_slices import FieldSlices
    from experiments.evaluate.operating_points import OperatingPoint
    from experiments.results.folder import SplitPredictions


def table(comparison: Comparison) -> "pd.DataFrame":
    """Return a row for each split, head or reference and threshold ("fixed" is 0.5, "dev" the one tuned there).

    Every metric has four columns: _mean, _sd over seeds, and _low and _high of its interval over memes.
    """
    import pandas as pd

    rows = []
    for row in comparison.rows:
        at = [("fixed", 0.5, row.metrics)] + ([("dev", row.threshold, row.metrics | row.tuned)] if row.tuned else [])
        for chosen_by, threshold, figures in at:
            about = {"split": row.split, "name": row.name, "kind": row.kind, "seeds": row.seeds}
            rows.append(about | {"chosen_by": chosen_by, "threshold": threshold} | columns(figures))
    return pd.DataFrame(rows)


def columns(figures: dict[str, Figure], parts: Sequence[str] = ("mean", "sd", "low", "high")) -> dict[str, float]:
    return {f"{name}_{part}": getattr(figure, part) for name, figure in figures.items() for part in parts}


def tests(comparison: Comparison) -> "pd.DataFrame":
    """Return a row for each tested pair; `family` says which of them are Holm-corrected together."""
    import pandas as pd

    families = {"fusion": comparison.pairs, "others": comparison.other_pairs, "linear": comparison.linear}
    return pd.DataFrame(
        {"family": family} | asdict(pair) | {"difference": pair.difference}
        for family, pairs in families.items()
        for pair in pairs
    )


def operating_points(points: "Sequence[OperatingPoint]") -> "pd.DataFrame":
    """Return a row for each head, goal and split: thresholds, and each figure's _mean, _low and _high."""
    import pandas as pd

    def flat(point: "OperatingPoint") -> dict[str, Any]:
        about = {name: getattr(point, name) for name in ("head", "goal", "split", "low", "high", "too_small")}
        return about | columns(point.figures, ("mean", "low", "high"))

    return pd.DataFrame(map(flat, points))


def field_slices(answer: "FieldSlices") -> "pd.DataFrame":
    """Return a row for each head, split and value of a column: memes, and each figure's _mean, _low and _high."""
    import pandas as pd

    names = ("head", "split", "value", "memes", "positive")
    return pd.DataFrame(
        {"field": answer.field}
        | {name: getattr(each, name) for name in names}
        | columns(each.figures, ("mean", "low", "high"))
        for each in answer.slices
    )


def gaps(answer: "FieldSlices") -> "pd.DataFrame":
    """Return a row for each head, split and rate: the largest difference between two values of a column, tested."""
    import pandas as pd

    return pd.DataFrame({"field": answer.field} | asdict(gap) for gap in answer.gaps)


def slices(comparison: Comparison) -> "pd.DataFrame":
    """Return a row for each split, slice (by word pieces, by what train holds) and head: memes, and AUC-ROC on it."""
    import pandas as pd

    return pd.DataFrame(
        {"split": piece.split, "slice": piece.name, "memes": piece.memes, "positive": piece.positive, "head": head}
        | columns({"auc_roc": figure})
        for piece in comparison.slices
        for head, figure in piece.auc_roc.items()
    )


def ablations(comparison: Comparison) -> "pd.DataFrame":
    """Return a row for each split, head, side and way to take a side away: AUC-ROC, what is left of it and lost."""
    import pandas as pd

    return pd.DataFrame(asdict(each) | {"lost": each.lost} for each in comparison.ablations)


def predictions(splits: "Iterable[SplitPredictions]") -> "pd.DataFrame":
    """Return a row for each split, head, seed and meme: its label (-1 where there is none) and probability of 1."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "split": split.split,
                "id": split.ids,
                "label": split.label,
                "head": head.name,
                "seed": seed,
                "probability": run,
            }
        )
        for split in splits
        for head in split.heads.values()
        for seed, run in zip(head.seeds, head.by_run, strict=True)
    ]
    return together(parts)


def together(parts: "Iterable[pd.DataFrame]") -> "pd.DataFrame":
    """Return their rows one below the other; a frame without any where there is none."""
    import pandas as pd

    found = list(parts)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def runs(records: Sequence[Record]) -> "pd.DataFrame":
    """Return a row for each head, seed and split: its metrics at 0.5 and, as tuned_*, at dev's threshold."""
    import pandas as pd

    def flat(record: Record) -> dict[str, Any]:
        about = {name: getattr(record, name) for name in ("head", "kind", "seed", "split", "memes", "best_epoch")}
        about |= {"threshold": record.threshold, "temperature": record.temperature, "seconds": record.seconds}
        return about | record.metrics | {f"tuned_{name}": value for name, value in record.tuned.items()}

    return pd.DataFrame(map(flat, records))
