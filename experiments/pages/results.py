"""What heads score on one split: tables, ROC and precision-recall curves, confusion matrices, calibration."""

from collections.abc import Mapping

from experiments import comparison_tables
from experiments.pages import curves, figures
from experiments.pages.document import Block, Figure, Grid, Paragraph, Section
from experiments.results.reading import Findings, Predicted
from experiments.results.records import Row
from experiments.tables import Table


def splits(findings: Findings) -> list[str]:
    """The splits that heads predicted, test splits first."""
    return sorted(findings.predicted, key=lambda split: not split.startswith("test"))


def section(findings: Findings, split: str) -> Section:
    size = findings.size(split)
    rows = findings.rows(split)
    title = f"Results on {comparison_tables.heading(size)}"
    if not rows:
        return Section(title, f"results-{split}", predicted_only(findings, split))
    blocks: list[Block] = [Paragraph("Dev chose epochs and thresholds: its figures flatter.")] if is_dev(split) else []
    blocks.append(
        Grid(
            comparison_tables.main_table(list(rows.values()), "At threshold 0.5: mean ± standard deviation over seeds")
        )
    )
    blocks += [Paragraph(sentence) for sentence in comparison_tables.undefined(list(rows.values()))]
    blocks += curve_figures(findings, findings.predicted[split], rows)
    blocks.append(
        Grid(comparison_tables.tuned_table(list(rows.values()), "At the threshold tuned on dev, and calibration"))
    )
    if linear := [pair for pair in findings.comparison.linear if pair.split == split]:
        blocks.append(Grid(comparison_tables.linear_table(linear), comparison_tables.PAIR_WORDS))
    blocks += confusion_figure(findings, split, rows) + calibration_figure(findings, split, rows)
    return Section(title, f"results-{split}", blocks)


def is_dev(split: str) -> bool:
    return split.startswith("dev")


def both_labels(found: Predicted) -> bool:
    positive = found.positive[found.labelled]
    return bool(positive.any() and not positive.all())


def curve_figures(findings: Findings, found: Predicted, rows: Mapping[str, Row]) -> list[Block]:
    if not both_labels(found):
        return [Paragraph(f"{found.split} holds one label only: it has no ROC or precision-recall curve.")]
    counts = {head: matrices(findings, found.split, head) for head in findings.heads}
    caption = (
        f"ROC and precision-recall curves on {found.split}, each the mean over seeds. Hollow marks: at 0.5; filled: at "
        "the threshold tuned on dev. Dotted: a head that knows nothing."
    )
    panels = [
        figures.roc(f"roc-{found.split}", found, rows, counts),
        figures.precision_recall(f"precision-recall-{found.split}", found, rows, counts),
    ]
    return [Figure(caption, panels)]


def matrices(findings: Findings, split: str, head: str) -> list[curves.Confusion]:
    """Counts at 0.5 and at dev's threshold."""
    size = findings.size(split)
    return [curves.confusion(findings.runs, head, size, tuned) for tuned in (False, True)]


def confusion_figure(findings: Findings, split: str, rows: Mapping[str, Row]) -> list[Block]:
    panels = [
        figures.confusion(
            f"confusion-{split}-{head}", split, head, matrices(findings, split, head), rows[head].threshold
        )
        for head in findings.heads
    ]
    caption = (
        f"Confusion on {split}: memes (mean over seeds) by their label and by what they are called, at 0.5 and at "
        "dev's threshold. Shares are of the label's memes."
    )
    return [Figure(caption, panels)]


def calibration_figure(findings: Findings, split: str, rows: Mapping[str, Row]) -> list[Block]:
    found = findings.predicted[split]
    panels = [figures.calibration(f"calibration-{split}-{head}", found, head, rows[head]) for head in findings.heads]
    caption = (
        f"Calibration on {split}: of the memes given about the same probability, how many have label 1 (seeds pooled, "
        f"{curves.BINS} bins, 95% intervals). On the dotted line probabilities can be taken at their word; below it "
        "they are too high. Bars: how many memes a bin holds."
    )
    return [Figure(caption, panels)]


def predicted_only(findings: Findings, split: str) -> list[Block]:
    """A split without labels: what heads say, and nothing about whether it is true."""
    found = findings.predicted[split]
    opinions = [found.opinions[head] for head in findings.heads]
    rows = [[each.name, f"{each.probability.mean():.3f}", f"{each.says_one.mean():.0%}"] for each in opinions]
    header = ["", "mean probability", "called 1 at 0.5"]
    caption = f"Probabilities on {split}. Each meme's is in predictions_{split}.csv."
    return [
        Grid(Table("Predicted, not scored: there are no labels", header, rows)),
        Figure(caption, [figures.called(f"probabilities-{split}", found, findings.heads)]),
    ]
