"""A comparison's tables, and its pages: what the terminal shows, comparison.md and comparison.tex."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments import words
from experiments.results.records import NOT_IN_TRAIN, Ablation, Comparison, Pair, Row, Slice, SplitSize
from experiments.tables import WIDTH, Table, latex_page, page, plain, table_of
from experiments.words.comparison import READING, conclusion, detectable, heading, memes_needed, summary, undefined
from heads.metrics import DECISIONS, METRICS

OTHERS_TITLE = "All other pairs of heads"
ABLATION_TITLE = "What heads lose without a side"
LINEAR_TITLE = "Each head against logistic regression on the same vectors"
FUSIONS_TITLE = "Each fusion against the better single modality"
IN_BRACKETS = "In brackets after accuracy: memes that only the fusion (+) or only the single head (-) got right."


def of_split(comparison: Comparison, split: str) -> list[Row]:
    return [row for row in comparison.rows if row.split == split]


def main_table(rows: Sequence[Row], title: str) -> Table:
    """Every metric that people ask for first, at threshold 0.5."""
    shown = ("average_precision", *DECISIONS)
    header = ["", "AUC-ROC", "95% interval", *(METRICS[name].title for name in shown)]
    cells = [
        [row.name, words.with_spread(row.metrics["auc_roc"]), words.interval(row.metrics["auc_roc"])]
        + [words.with_spread(row.metrics[name]) for name in shown]
        for row in rows
    ]
    return Table(title, header, cells, first_reference(rows))


def tuned_table(rows: Sequence[Row], title: str) -> Table:
    """What dev's threshold gives, and how well probabilities are calibrated."""
    rows = [row for row in rows if row.tuned]
    header = ["", "threshold", *(METRICS[name].title for name in DECISIONS), "ECE", "Brier"]
    cells = [
        [row.name, words.bare(row.threshold)]
        + [words.with_spread(row.tuned[name]) for name in DECISIONS]
        + [words.with_spread(row.metrics[name]) for name in ("ece", "brier")]
        for row in rows
    ]
    return Table(title, header, cells, first_reference(rows))


def first_reference(rows: Sequence[Row]) -> list[int]:
    return [number for number, row in enumerate(rows) if number and row.kind != rows[number - 1].kind]


def pairs_table(pairs: Sequence[Pair], title: str, sides: tuple[str, str] = ("fusion", "single")) -> Table:
    """`sides`: what to call the first and the second of each pair."""

    def changed(pair: Pair) -> str:
        alone = f" (+{pair.only_head} -{pair.only_against})" if pair.measure == "accuracy" else ""
        return words.signed(pair.difference) + alone

    return table_of(
        title,
        pairs,
        {
            "": lambda pair: f"{pair.head} vs {pair.against}",
            "split": lambda pair: pair.split,
            "measure": lambda pair: METRICS[pair.measure].title,
            sides[0]: lambda pair: words.bare(pair.of_head),
            sides[1]: lambda pair: words.bare(pair.of_against),
            "difference": changed,
            "95% interval": lambda pair: words.signed_interval(pair.low, pair.high),
            "p": lambda pair: words.probability(pair.p),
            "p (Holm)": lambda pair: words.probability(pair.p_holm),
            "shows": conclusion,
            "shown at 80%": detectable,
            "memes for it": memes_needed,
        },
        words=(0, 1, 2, 9),
    )


def linear_table(pairs: Sequence[Pair], title: str = LINEAR_TITLE) -> Table:
    return pairs_table(pairs, title, ("head", "regression"))


def others_table(pairs: Sequence[Pair], title: str = OTHERS_TITLE) -> Table:
    return pairs_table(pairs, title, ("first", "second"))


def slices_table(slices: Sequence[Slice], title: str) -> Table:
    heads = list(slices[0].auc_roc)
    cells = [
        [piece.name, f"{piece.memes:,}", f"{piece.positive / piece.memes:.0%}"]
        + [words.with_interval(piece.auc_roc[head]) for head in heads]
        for piece in slices
    ]
    return Table(title, ["AUC-ROC on", "memes", "label 1", *heads], cells)


def ablation_table(ablations: Sequence[Ablation], title: str) -> Table:
    """One split's: a line for each head and side."""
    by_how = {(each.head, each.side, each.how): each for each in ablations}
    cells = []
    for head, side in dict.fromkeys((each.head, each.side) for each in ablations):
        both = [by_how[head, side, how] for how in ("shuffled", "mean")]
        cells.append([f"{head} without {side}", words.bare(both[0].auc_roc)])
        for each in both:
            cells[-1] += [words.bare(each.without), words.signed(-each.lost)]
            cells[-1] += [words.signed_interval(-each.high, -each.low)]
    header = ["AUC-ROC", "as it is", "shuffled", "change", "95% interval", "at train's mean", "change", "95% interval"]
    return Table(title, header, cells)


def terminal(comparison: Comparison) -> str:
    """The scored test splits (dev where there is none), and the summary."""
    parts = []
    for size in comparison.splits:
        if size.name in shown_first(comparison):
            rows = of_split(comparison, size.name)
            parts.append(plain(main_table(rows, heading(size))) if rows else heading(size))
            parts += [textwrap.fill(sentence, WIDTH) for sentence in undefined(rows)]
    said = [textwrap.fill(sentence, WIDTH) for sentence in [*summary(comparison), *comparison.notes]]
    return "\n\n".join([*parts, "\n".join(said)]) + "\n"


def shown_first(comparison: Comparison) -> list[str]:
    """Test splits, and dev where no test split can judge."""
    tests = [size.name for size in comparison.splits if size.name.startswith("test")]
    return tests + [split for split in comparison.judged if split not in tests]


def test_first(comparison: Comparison) -> list[SplitSize]:
    """Splits, each followed by what train does not hold of it."""
    first = shown_first(comparison)
    parts = {size.name.removesuffix(NOT_IN_TRAIN): size for size in comparison.unseen}
    splits = sorted(comparison.splits, key=lambda size: size.name not in first)
    return [part for size in splits for part in (size, parts.get(size.name)) if part]


def comparison_markdown(comparison: Comparison) -> str:
    """The whole report: summary, a section per split, fusions, slices, how to read it, what was compared."""
    compared = f"{words.with_dims(comparison.encoders.values())}, {words.counted(comparison.seeds, 'seed')}."
    said = [*summary(comparison), *comparison.notes]
    blocks: list[str | Table | Sequence[str]] = ["# Text, image or both?", compared, said]
    for size in test_first(comparison):
        rows = of_split(comparison, size.name)
        if rows:
            blocks += [f"## {heading(size)}", main_table(rows, "")]
            blocks += ["At the threshold tuned on dev, and calibration:", tuned_table(rows, ""), *undefined(rows)]
        elif not size.labelled:
            blocks += [f"## {heading(size)}", f"Probabilities are in predictions_{size.name}.csv."]
        if slices := [piece for piece in comparison.slices if piece.split == size.name]:
            blocks += [f"### Slices of {size.name}", slices_table(slices, "")]
        if ablations := [each for each in comparison.ablations if each.split == size.name]:
            blocks += [f"### {ABLATION_TITLE} on {size.name}", ablation_table(ablations, "")]
    for table in pairs_tables(comparison):
        blocks += [f"## {table.title}", replace(table, title="")]
        blocks += [IN_BRACKETS] if table.title == FUSIONS_TITLE else []
    blocks += ["## How to read this", READING, "## What was compared", provenance(comparison)]
    return page(*blocks)


def pairs_tables(comparison: Comparison, fusions: str = FUSIONS_TITLE) -> list[Table]:
    """All that was tested, a family of tests to a table. fusions: title of theirs."""
    tables = [pairs_table(comparison.pairs, fusions), others_table(comparison.other_pairs)]
    return [table for table in [*tables, linear_table(comparison.linear)] if table.rows]


def provenance(comparison: Comparison) -> list[str]:
    lines = []
    for side, encoder in comparison.encoders.items():
        parts = [f"{part.name}, {part.dim:,} dims, fingerprint `{part.fingerprint[:16]}`" for part in encoder.parts]
        beside = f", side by side as {encoder.name}, `{encoder.fingerprint[:16]}`" if len(parts) > 1 else ""
        lines.append(f"{side}: {'; '.join(parts)}{beside}")
    lines += settings_lines(comparison.settings)
    sizes = ", ".join(f"{size.name} {size.memes:,}" for size in comparison.splits)
    lines += [f"memes: {sizes}", f"seeds: 0 to {comparison.seeds - 1}; calibration: {comparison.calibration}"]
    lines.append(f"trained on {comparison.device}, products in {comparison.precision}")
    return [*lines, f"code: {comparison.code}; run: {comparison.run}"]


def settings_lines(by_head: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Heads of equal settings in one line."""
    written = {head: json.dumps(settings) for head, settings in by_head.items()}
    return [
        f"{', '.join(head for head, its in written.items() if its == settings)}: `{settings}`"
        for settings in dict.fromkeys(written.values())
    ]


def comparison_latex(comparison: Comparison) -> str:
    """The main table of every scored split, those of the tests, and what heads lose without a side."""
    sizes = test_first(comparison)
    tables = [main_table(rows, heading(size)) for size in sizes if (rows := of_split(comparison, size.name))]
    tables += pairs_tables(comparison, f"{FUSIONS_TITLE}.")
    for split in comparison.judged:
        if ablations := [each for each in comparison.ablations if each.split == split]:
            tables.append(ablation_table(ablations, f"{ABLATION_TITLE} on {split}."))
    return latex_page(tables, comparison.run)
