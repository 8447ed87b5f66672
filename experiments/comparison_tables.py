"""A comparison as tables: plain text, Markdown, CSV and LaTeX. Everything is read from the record, nothing computed."""

import csv
import io
import json
import textwrap
from collections.abc import Sequence

from experiments import tables
from experiments.evaluate.scores import DECISIONS
from experiments.evaluate.tests import MEASURES, conclusion, verdicts
from experiments.results.records import Comparison, Pair, Row, Slice, SplitSize
from experiments.tables import Table, bare, interval, probability, signed, with_spread

NAMES = {
    "auc_roc": "AUC-ROC",
    "average_precision": "AP",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "ece": "ECE",
    "brier": "Brier",
}
UNDEFINED_BECAUSE = {
    "auc_roc": "the split holds one class only",
    "average_precision": "no meme has label 1",
    "precision": "no meme was given label 1",
    "recall": "no meme has label 1",
    "f1": "no meme has label 1 or was given it",
    "macro_f1": "one of the labels neither occurs nor was given",
}
PAIR_WORDS = frozenset({0, 1, 2, 9})  # columns of a table of pairs that hold words
LINEAR_TITLE = "Each head against logistic regression on the same vectors"
WIDTH = 110  # columns of a terminal
READING = """\
Figures are means ± standard deviation over seeds. Intervals are 95% percentile bootstrap intervals of that mean over
memes (2,000 resamples of groups of equal text; seeds held fixed): they say how far the figure may lie from what more
memes of this kind would show. AUC-ROC and AP (average precision) depend on no threshold; accuracy, precision, recall,
F1 and macro-F1 are at probability 0.5, and again at the threshold with the best macro-F1 on dev. ECE (expected
calibration error, 15 bins) and Brier score are better when lower.

A fusion is compared with the better single modality, which dev chose, on the same memes. AUC-ROC: difference of the
means over seeds, tested by DeLong's test with Obuchowski's variance for groups of equal text. Accuracy: of the seeds'
mean probability at 0.5, tested by McNemar's exact test, which takes memes as independent. p-values are Holm-corrected
over all rows of the table, both measures and all splits: whichever row is quoted, a false alarm anywhere in it is no
likelier than .05. "A gain" takes a corrected p below .05 and an interval without 0; where only one of the two says so,
there is "no firm evidence".

What a hidden layer is worth: each head is compared in the same way with LR on the vectors that it sees; a fusion with
"LR both" or "LR balanced", whichever is better on dev. These p-values are Holm-corrected among themselves.

Slices have 1.96 clustered standard errors on either side, and no interval with fewer than 10 memes of either label.

References: chance is what a fair coin is expected to score; majority class gives every meme train's share of label 1;
LR is logistic regression with C tuned on dev; kNN the share of label 1 among the nearest train memes by cosine, k tuned
on dev. All see the same standardised vectors as the heads; "LR balanced" sees both scaled to one norm, as heads do."""


def of_split(comparison: Comparison, split: str) -> list[Row]:
    return [row for row in comparison.rows if row.split == split]


def main_table(rows: Sequence[Row], title: str) -> Table:
    """Every metric that people ask for first, at threshold 0.5."""
    shown = ("average_precision", *DECISIONS)
    header = ["", "AUC-ROC", "95% interval", *(NAMES[name] for name in shown)]
    cells = [
        [row.name, with_spread(row.metrics["auc_roc"]), interval(row.metrics["auc_roc"])]
        + [with_spread(row.metrics[name]) for name in shown]
        for row in rows
    ]
    return Table(title, header, cells, first_reference(rows))


def tuned_table(rows: Sequence[Row], title: str) -> Table:
    """What dev's threshold gives, and how well probabilities are calibrated."""
    rows = [row for row in rows if row.tuned]
    header = ["", "threshold", *(NAMES[name] for name in DECISIONS), "ECE", "Brier"]
    cells = [
        [row.name, bare(row.threshold)]
        + [with_spread(row.tuned[name]) for name in DECISIONS]
        + [with_spread(row.metrics[name]) for name in ("ece", "brier")]
        for row in rows
    ]
    return Table(title, header, cells, first_reference(rows))


def first_reference(rows: Sequence[Row]) -> list[int]:
    return [number for number, row in enumerate(rows) if number and row.kind != rows[number - 1].kind]


def pairs_table(pairs: Sequence[Pair], title: str, sides: tuple[str, str] = ("fusion", "single")) -> Table:
    """`sides`: what to call the first and the second of each pair."""
    header = ["", "split", "measure", *sides, "difference", "95% interval", "p", "p (Holm)", "shows"]
    cells = []
    for pair in pairs:
        alone = f" (+{pair.only_head} -{pair.only_against})" if pair.measure == "accuracy" else ""
        cells.append(
            [
                f"{pair.head} vs {pair.against}",
                pair.split,
                MEASURES[pair.measure],
                bare(pair.of_head),
                bare(pair.of_against),
                signed(pair.difference) + alone,
                f"[{signed(pair.low)}, {signed(pair.high)}]",
                probability(pair.p),
                probability(pair.p_holm),
                conclusion(pair),
            ]
        )
    return Table(title, header, cells)


def linear_table(pairs: Sequence[Pair], title: str = LINEAR_TITLE) -> Table:
    return pairs_table(pairs, title, ("head", "regression"))


def slices_table(slices: Sequence[Slice], title: str) -> Table:
    heads = list(slices[0].auc_roc)
    cells = [
        [piece.name, f"{piece.memes:,}", f"{piece.positive / piece.memes:.0%}"]
        + [f"{bare(piece.auc_roc[head].mean)} {interval(piece.auc_roc[head])}".strip() for head in heads]
        for piece in slices
    ]
    return Table(title, ["AUC-ROC on", "memes", "label 1", *heads], cells)


def heading(size: SplitSize) -> str:
    if not size.labelled:
        return f"{size.name}: {size.memes:,} memes without labels, predicted but not scored"
    without = f", {size.memes - size.labelled:,} more without a label" if size.labelled < size.memes else ""
    return f"{size.name}: {size.labelled:,} memes, {size.positive / size.labelled:.0%} of label 1{without}"


def undefined(rows: Sequence[Row]) -> list[str]:
    """Which metrics are undefined for whom, and why."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for name, figure in row.metrics.items():
            if figure.undefined:
                seeds = f" ({figure.undefined} of {row.seeds} seeds)" if figure.undefined < row.seeds else ""
                found.setdefault(name, []).append(row.name + seeds)
    return [
        f"{NAMES[name]} is undefined for {', '.join(who)}: {UNDEFINED_BECAUSE[name]}." for name, who in found.items()
    ]


def encoders(comparison: Comparison) -> str:
    text, image = (comparison.encoders[side] for side in ("text", "image"))
    return f"{text['name']} ({text['dim']:,}) + {image['name']} ({image['dim']:,}), {comparison.seeds} seeds"


def terminal(comparison: Comparison) -> str:
    """The scored test splits (dev where there is none), and the verdicts."""
    parts = []
    for size in comparison.splits:
        if size.name in shown_first(comparison):
            rows = of_split(comparison, size.name)
            parts.append(tables.plain(main_table(rows, heading(size))) if rows else heading(size))
            parts += undefined(rows)
    said = [textwrap.fill(sentence, WIDTH) for sentence in [*verdicts(comparison), *comparison.notes]]
    return "\n\n".join([*parts, "\n".join(said)]) + "\n"


def shown_first(comparison: Comparison) -> list[str]:
    """Test splits, and dev where no test split can judge."""
    tests = [size.name for size in comparison.splits if size.name.startswith("test")]
    return tests + [split for split in comparison.judged if split not in tests]


def test_first(comparison: Comparison) -> list[SplitSize]:
    first = shown_first(comparison)
    return sorted(comparison.splits, key=lambda size: size.name not in first)


def markdown(comparison: Comparison) -> str:
    """The whole report: verdicts, a section per split, fusions, slices, how to read it, what was compared."""
    lines = ["# Text, image or both?", "", encoders(comparison) + ".", ""]
    lines += [f"- {sentence}" for sentence in [*verdicts(comparison), *comparison.notes]]
    for size in test_first(comparison):
        rows = of_split(comparison, size.name)
        if rows:
            lines += ["", f"## {heading(size)}", "", tables.markdown(main_table(rows, "")), ""]
            lines += ["At the threshold tuned on dev, and calibration:", "", tables.markdown(tuned_table(rows, ""))]
            lines += [line for sentence in undefined(rows) for line in ("", sentence)]
        elif not size.labelled:
            lines += ["", f"## {heading(size)}", "", f"Probabilities are in predictions_{size.name}.csv."]
        slices = [piece for piece in comparison.slices if piece.split == size.name]
        if slices:
            lines += ["", f"### Slices of {size.name}", "", tables.markdown(slices_table(slices, ""))]
    if comparison.pairs:
        lines += ["", "## Each fusion against the better single modality", ""]
        lines += [tables.markdown(pairs_table(comparison.pairs, ""))]
        lines += [
            "",
            "In brackets after accuracy: memes that only the fusion (+) or only the single head (-) got right.",
        ]
    if comparison.linear:
        lines += ["", f"## {LINEAR_TITLE}", "", tables.markdown(linear_table(comparison.linear, ""))]
    return "\n".join([*lines, "", "## How to read this", "", READING, "", *provenance(comparison)]) + "\n"


def provenance(comparison: Comparison) -> list[str]:
    lines = ["## What was compared", ""]
    for side, encoder in comparison.encoders.items():
        lines.append(
            f"- {side}: {encoder['name']}, {encoder['dim']:,} dims, fingerprint `{encoder['fingerprint'][:16]}`"
        )
    written = {head: json.dumps(settings) for head, settings in comparison.settings.items()}
    for settings in dict.fromkeys(written.values()):
        heads = ", ".join(head for head, its in written.items() if its == settings)
        lines.append(f"- {heads}: `{settings}`")
    sizes = ", ".join(f"{size.name} {size.memes:,}" for size in comparison.splits)
    lines += [f"- memes: {sizes}", f"- seeds: 0 to {comparison.seeds - 1}; calibration: {comparison.calibration}"]
    lines.append(f"- trained on {comparison.device}, products in {comparison.precision}")
    return [*lines, f"- code: {comparison.code}"]


def latex(comparison: Comparison) -> str:
    """The main table of every scored split, and the fusions' table."""
    parts = ["% needs \\usepackage{booktabs,graphicx}"]
    for size in test_first(comparison):
        rows = of_split(comparison, size.name)
        if rows:
            parts.append(tables.latex(main_table(rows, heading(size))))
    if comparison.pairs:
        parts.append(tables.latex(pairs_table(comparison.pairs, "Each fusion against the better single modality.")))
    if comparison.linear:
        parts.append(tables.latex(linear_table(comparison.linear)))
    return "\n\n".join(parts) + "\n"


def comma_separated(comparison: Comparison) -> str:
    """A line per head, split and threshold; empty where a metric is undefined or has no interval."""
    out = io.StringIO()
    parts = ("mean", "sd", "low", "high")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["split", "name", "kind", "seeds", "chosen_by", "threshold"]
        + [f"{name}_{part}" for name in NAMES for part in parts]
    )
    for row in comparison.rows:
        lines = [("fixed", 0.5, row.metrics)]
        lines += [("dev", row.threshold, row.metrics | row.tuned)] if row.tuned else []
        for chosen, threshold, figures in lines:
            values = [getattr(figures[name], part) for name in NAMES for part in parts]
            written = ["" if value != value else f"{value:.6f}" for value in values]
            writer.writerow([row.split, row.name, row.kind, row.seeds, chosen, f"{threshold:.6f}", *written])
    return out.getvalue()
