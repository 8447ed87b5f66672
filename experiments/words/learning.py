"""More labels: the sentences, tables and page of a learning curve."""

import json

from experiments.results.learning import LearningCurve, PowerLaw
from experiments.tables import Table, page, table_of
from experiments.words import bare, change, probability, with_dims, with_interval


def learning(curve: LearningCurve) -> list[str]:
    """What more labels may bring each head, and the best reference, on the judged splits; then the curve's notes."""
    heads = [law for law in curve.laws if law.head in curve.settings]
    return [*map(doubling, heads), *curve.notes]


def doubling(law: PowerLaw) -> str:
    """What a head gained from more labels so far, and what twice as many may bring, where the power law may say so."""
    span = f"from {law.smallest:,.0f} to {law.largest:,.0f} memes of train"
    seen = change(law.rise, law.rise_low, law.rise_high)
    if law.refused == "no rise":
        return f"{law.head.capitalize()} on {law.split}: no evidence that AUC-ROC rises {span} ({seen})."
    start = f"{law.head.capitalize()} on {law.split}: AUC-ROC rises by {seen} {span}; "
    gain = change(law.gain, law.gain_low, law.gain_high)
    if not law.refused:
        return f"{start}twice as many labels may bring {gain} more."
    why = {
        "too few sizes": "that takes four sizes or more",
        "no fit": "no power law can be fitted",
        "poor fit": f"the sizes do not lie on a power law (p {probability(law.p)})",
        "too wide": f"a power law's {gain} is too uncertain beside what was seen",
    }
    return f"{start}what twice as many labels bring is not said: {why[law.refused]}."


def learning_tables(curve: LearningCurve) -> list[Table]:
    """A table of AUC-ROC by size for each split, and what doubling may bring."""
    tables = []
    for split in dict.fromkeys(point.split for point in curve.points):
        points = [point for point in curve.points if point.split == split]
        figures = {(point.head, point.size): with_interval(point.auc_roc) for point in points}
        cells = [
            [head, *(figures.get((head, size), "") for size in curve.sizes)]
            for head in dict.fromkeys(point.head for point in points)
        ]
        title = f"AUC-ROC on {split} by memes of train, mean over {curve.draws} draws and {curve.seeds} seeds"
        tables.append(Table(title, ["", *(f"{size:,}" for size in curve.sizes)], cells))
    laws = table_of(
        "Power laws, and what they expect of twice the labels",
        curve.laws,
        {
            "": lambda law: law.head,
            "split": lambda law: law.split,
            "rise seen": lambda law: change(law.rise, law.rise_low, law.rise_high),
            "exponent": lambda law: bare(law.exponent),
            "limit": lambda law: bare(law.limit),
            "p of the fit": lambda law: bare(law.p),
            "with twice the labels": lambda law: law.refused or change(law.gain, law.gain_low, law.gain_high),
        },
    )
    return [*tables, laws]


def learning_markdown(curve: LearningCurve) -> str:
    settings = dict.fromkeys(json.dumps(settings) for settings in curve.settings.values())
    return page(
        "# More labels?",
        f"{with_dims(curve.encoders.values())}, {curve.draws} draws of each size, {curve.seeds} seeds.",
        learning(curve),
        *learning_tables(curve),
        *(f"Heads: `{each}`" for each in settings),
        f"Code: {curve.code}",
    )
