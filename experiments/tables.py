"""Tables as text, Markdown, CSV and LaTeX, and those of a comparison. Everything is read from records."""

import csv
import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.results.learning import LearningCurve, Replaced
from experiments.results.records import (
    NOT_IN_TRAIN,
    Ablation,
    Across,
    Comparison,
    Leaderboard,
    Pair,
    Row,
    Slice,
    SplitSize,
)
from experiments.search.ranking import Candidate, best_of_each, swept
from experiments.search.trials import Trial
from experiments.words import (
    LEADERBOARD_READING,
    READING,
    across,
    bare,
    candidate_score,
    change,
    conclusion,
    difference,
    each_meme,
    encoders,
    heading,
    interval,
    leaderboard,
    looks_at,
    memes_needed,
    operating_goal,
    per_thousand,
    probability,
    signed,
    summary,
    undefined,
    with_interval,
    with_spread,
)
from heads.metrics import DECISIONS, METRICS

if TYPE_CHECKING:
    from experiments.evaluate.field_slices import FieldSlice
    from experiments.evaluate.operating_points import OperatingPoint
    from experiments.scoring.scorer import Score, Scorer

PAIR_WORDS = frozenset({0, 1, 2, 9})  # columns of a table of pairs that hold words
OTHERS_TITLE = "All other pairs of heads"
ABLATION_TITLE = "What heads lose without a side"
LINEAR_TITLE = "Each head against logistic regression on the same vectors"
WIDTH = 110  # columns of a terminal


@dataclass(frozen=True)
class Table:
    """Cells of text. The first column is left-aligned, the others are right-aligned."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    rule_before: Sequence[int] = ()  # rows that a line separates from those above


def plain(table: Table) -> str:
    """Columns padded to their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(table.header, *table.rows, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "  ".join(padded).rstrip()

    lines = [line(table.header), rule]
    for number, row in enumerate(table.rows):
        lines += [rule] * (number in table.rule_before) + [line(row)]
    return "\n".join([table.title, "", *lines]) if table.title else "\n".join(lines)


def markdown(table: Table) -> str:
    rows = [table.header, ["---"] + ["---:"] * (len(table.header) - 1), *table.rows]
    escaped = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"**{table.title}**", "", *escaped] if table.title else escaped)


def latex(table: Table) -> str:
    r"""A `table` as wide as the line, for the packages booktabs and graphicx."""
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(table.title)}}}",
        r"  \resizebox{\linewidth}{!}{%",
    ]
    lines += [rf"  \begin{{tabular}}{{{columns}}}", r"    \toprule", _latex_row(table.header), r"    \midrule"]
    for number, row in enumerate(table.rows):
        lines += [r"    \midrule"] * (number in table.rule_before) + [_latex_row(row)]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}"])


def _latex_row(cells: Sequence[str]) -> str:
    return "    " + " & ".join(escape(cell) for cell in cells) + r" \\"


def escape(text: str) -> str:
    """LaTeX's special characters, and the few others that tables use, in words that LaTeX knows."""
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"±": r"$\pm$", "<": "$<$", ">": "$>$"}
    written = "".join(special.get(character, character) for character in text)
    # a leading minus is a minus, not a hyphen; so is one that opens an interval
    return written.replace("[-", "[$-$").replace(", -", ", $-$") if not written.startswith("-") else f"$-${written[1:]}"


def of_split(comparison: Comparison, split: str) -> list[Row]:
    return [row for row in comparison.rows if row.split == split]


def main_table(rows: Sequence[Row], title: str) -> Table:
    """Every metric that people ask for first, at threshold 0.5."""
    shown = ("average_precision", *DECISIONS)
    header = ["", "AUC-ROC", "95% interval", *(METRICS[name].title for name in shown)]
    cells = [
        [row.name, with_spread(row.metrics["auc_roc"]), interval(row.metrics["auc_roc"])]
        + [with_spread(row.metrics[name]) for name in shown]
        for row in rows
    ]
    return Table(title, header, cells, first_reference(rows))


def tuned_table(rows: Sequence[Row], title: str) -> Table:
    """What dev's threshold gives, and how well probabilities are calibrated."""
    rows = [row for row in rows if row.tuned]
    header = ["", "threshold", *(METRICS[name].title for name in DECISIONS), "ECE", "Brier"]
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
    header += ["shown at 80%", "memes for it"]
    cells = []
    for pair in pairs:
        alone = f" (+{pair.only_head} -{pair.only_against})" if pair.measure == "accuracy" else ""
        cells.append(
            [
                f"{pair.head} vs {pair.against}",
                pair.split,
                METRICS[pair.measure].title,
                bare(pair.of_head),
                bare(pair.of_against),
                signed(pair.difference) + alone,
                f"[{signed(pair.low)}, {signed(pair.high)}]",
                probability(pair.p),
                probability(pair.p_holm),
                conclusion(pair),
                bare(pair.detectable),
                memes_needed(pair),
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


def operating_table(points: "Sequence[OperatingPoint]", title: str) -> Table:
    """A head's operating points on one split."""
    cost = any("cost" in point.figures for point in points)
    header = ["chosen on dev for", "blocked", "recall", "precision", "false alarms per 1,000 harmless", "reviewed"]
    header += ["error of the rest"] + ["cost of 1,000"] * cost

    def cells(point: "OperatingPoint") -> list[str]:
        figures = point.figures
        if not figures:
            return [""] * (len(header) - 2)
        shown = {name: f"{bare(each.mean)} {interval(each)}".strip() for name, each in figures.items()}
        reviewed = shown["reviewed"] if point.low < point.high else "none"
        found = [shown["recall"], shown["precision"], per_thousand(figures["false_alarms"]), reviewed]
        return [*found, shown["error"], *([per_thousand(figures["cost"])] if cost else [])]

    return Table(title, header, [[point.goal, operating_goal(point), *cells(point)] for point in points])


def field_table(slices: "Sequence[FieldSlice]", field: str, title: str) -> Table:
    """A head's figures by the values of a column."""
    header = [field, "memes", "label 1", "AUC-ROC", "missed (of label 1)", "false alarms (of label 0)"]
    cells = [
        [piece.value, f"{piece.memes:,}", f"{piece.positive / piece.memes:.0%}"]
        + [f"{bare(figure.mean)} {interval(figure)}".strip() for figure in piece.figures.values()]
        for piece in slices
    ]
    return Table(title, header, cells)


def ablation_table(ablations: Sequence[Ablation], title: str) -> Table:
    """One split's: a line for each head and side."""
    by_how = {(each.head, each.side, each.how): each for each in ablations}
    cells = []
    for head, side in dict.fromkeys((each.head, each.side) for each in ablations):
        both = [by_how[head, side, how] for how in ("shuffled", "mean")]
        cells.append([f"{head} without {side}", bare(both[0].auc_roc)])
        for each in both:
            cells[-1] += [bare(each.without), signed(-each.lost), f"[{signed(-each.high)}, {signed(-each.low)}]"]
    header = ["AUC-ROC", "as it is", "shuffled", "change", "95% interval", "at train's mean", "change", "95% interval"]
    return Table(title, header, cells)


def terminal(comparison: Comparison) -> str:
    """The scored test splits (dev where there is none), and the summary."""
    parts = []
    for size in comparison.splits:
        if size.name in shown_first(comparison):
            rows = of_split(comparison, size.name)
            parts.append(plain(main_table(rows, heading(size))) if rows else heading(size))
            parts += undefined(rows)
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
    lines = ["# Text, image or both?", "", encoders(comparison) + ".", ""]
    lines += [f"- {sentence}" for sentence in [*summary(comparison), *comparison.notes]]
    for size in test_first(comparison):
        rows = of_split(comparison, size.name)
        if rows:
            lines += ["", f"## {heading(size)}", "", markdown(main_table(rows, "")), ""]
            lines += ["At the threshold tuned on dev, and calibration:", "", markdown(tuned_table(rows, ""))]
            lines += [line for sentence in undefined(rows) for line in ("", sentence)]
        elif not size.labelled:
            lines += ["", f"## {heading(size)}", "", f"Probabilities are in predictions_{size.name}.csv."]
        slices = [piece for piece in comparison.slices if piece.split == size.name]
        if slices:
            lines += ["", f"### Slices of {size.name}", "", markdown(slices_table(slices, ""))]
        if ablations := [each for each in comparison.ablations if each.split == size.name]:
            lines += ["", f"### {ABLATION_TITLE} on {size.name}", "", markdown(ablation_table(ablations, ""))]
    if comparison.pairs:
        lines += ["", "## Each fusion against the better single modality", ""]
        lines += [markdown(pairs_table(comparison.pairs, ""))]
        lines += [
            "",
            "In brackets after accuracy: memes that only the fusion (+) or only the single head (-) got right.",
        ]
    if comparison.other_pairs:
        lines += ["", f"## {OTHERS_TITLE}", "", markdown(pairs_table(comparison.other_pairs, "", ("first", "second")))]
    if comparison.linear:
        lines += ["", f"## {LINEAR_TITLE}", "", markdown(linear_table(comparison.linear, ""))]
    return "\n".join([*lines, "", "## How to read this", "", READING, "", *provenance(comparison)]) + "\n"


def provenance(comparison: Comparison) -> list[str]:
    lines = ["## What was compared", ""]
    for side, encoder in comparison.encoders.items():
        parts = [f"{part.name}, {part.dim:,} dims, fingerprint `{part.fingerprint[:16]}`" for part in encoder.parts]
        beside = f", side by side as {encoder.name}, `{encoder.fingerprint[:16]}`" if len(parts) > 1 else ""
        lines.append(f"- {side}: {'; '.join(parts)}{beside}")
    lines += settings_lines(comparison.settings)
    sizes = ", ".join(f"{size.name} {size.memes:,}" for size in comparison.splits)
    lines += [f"- memes: {sizes}", f"- seeds: 0 to {comparison.seeds - 1}; calibration: {comparison.calibration}"]
    lines.append(f"- trained on {comparison.device}, products in {comparison.precision}")
    return [*lines, f"- code: {comparison.code}; run: {comparison.run}"]


def settings_lines(by_head: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Heads of equal settings in one line."""
    written = {head: json.dumps(settings) for head, settings in by_head.items()}
    return [
        f"- {', '.join(head for head, its in written.items() if its == settings)}: `{settings}`"
        for settings in dict.fromkeys(written.values())
    ]


def comparison_latex(comparison: Comparison) -> str:
    """The main table of every scored split, and the fusions' table."""
    parts = [f"% needs \\usepackage{{booktabs,graphicx}}\n% run {comparison.run}"]
    for size in test_first(comparison):
        rows = of_split(comparison, size.name)
        if rows:
            parts.append(latex(main_table(rows, heading(size))))
    if comparison.pairs:
        parts.append(latex(pairs_table(comparison.pairs, "Each fusion against the better single modality.")))
    if comparison.other_pairs:
        parts.append(latex(pairs_table(comparison.other_pairs, OTHERS_TITLE, ("first", "second"))))
    if comparison.linear:
        parts.append(latex(linear_table(comparison.linear)))
    for split in comparison.judged:
        if ablations := [each for each in comparison.ablations if each.split == split]:
            parts.append(latex(ablation_table(ablations, f"{ABLATION_TITLE} on {split}.")))
    return "\n\n".join(parts) + "\n"


def comparison_csv(comparison: Comparison) -> str:
    """A line per head, split and threshold; empty where a metric is undefined or has no interval."""
    out = io.StringIO()
    parts = ("mean", "sd", "low", "high")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["split", "name", "kind", "seeds", "chosen_by", "threshold"]
        + [f"{name}_{part}" for name in METRICS for part in parts]
    )
    for row in comparison.rows:
        lines = [("fixed", 0.5, row.metrics)]
        lines += [("dev", row.threshold, row.metrics | row.tuned)] if row.tuned else []
        for chosen, threshold, figures in lines:
            values = [getattr(figures[name], part) for name in METRICS for part in parts]
            written = ["" if value != value else f"{value:.6f}" for value in values]
            writer.writerow([row.split, row.name, row.kind, row.seeds, chosen, f"{threshold:.6f}", *written])
    return out.getvalue()


def learning_tables(curve: LearningCurve, others: Sequence[Replaced] = ()) -> list[Table]:
    """A table of AUC-ROC by size for each split, what doubling may bring, and others: what other encoders bring."""
    found = []
    for split in dict.fromkeys(point.split for point in curve.points):
        heads = dict.fromkeys(point.head for point in curve.points if point.split == split)
        figures = {
            (point.head, point.size): with_interval(point.auc_roc) for point in curve.points if point.split == split
        }
        cells = [[head, *(figures.get((head, size), "") for size in curve.sizes)] for head in heads]
        title = f"AUC-ROC on {split} by memes of train, mean over {curve.draws} draws and {curve.seeds} seeds"
        found.append(Table(title, ["", *(f"{size:,}" for size in curve.sizes)], cells))
    cells = []
    for law in curve.laws:
        gain = law.refused or change(law.gain, law.gain_low, law.gain_high)
        fit = [bare(value) for value in (law.exponent, law.limit, law.p)]
        cells.append([law.head, law.split, change(law.rise, law.rise_low, law.rise_high), *fit, gain])
    header = ["", "split", "rise seen", "exponent", "limit", "p of the fit", "with twice the labels"]
    found.append(Table("Power laws, and what they expect of twice the labels", header, cells))
    return [*found, others_table(curve, others)] if others else found


def others_table(curve: LearningCurve, others: Sequence[Replaced]) -> Table:
    """What twice the labels may bring each head, and what the best other encoders of a leaderboard bring it."""
    doubled = {
        (law.head, law.split): law.refused or change(law.gain, law.gain_low, law.gain_high) for law in curve.laws
    }
    cells = []
    for each in others:
        shows = conclusion(each.pair) if each.pair.split in curve.judged else "dev chose them"
        brought = [doubled.get((each.head, each.pair.split), ""), difference(each.pair), shows]
        areas = [with_interval(each.of_own), with_interval(each.of_other)]
        cells.append([each.head, each.pair.split, *brought, *areas, each.other])
    header = ["", "split", "twice the labels", "other encoders", "shows", "now", "with those", "best others on dev"]
    return Table("What twice the labels may bring, and what another encoder brings", header, cells)


def learning_markdown(curve: LearningCurve, said: Sequence[str], shown: Sequence[Table]) -> str:
    """said, shown: its sentences and tables."""
    sides = " + ".join(f"{each.name} ({each.dim:,})" for each in curve.encoders.values() if each.dim)
    lines = ["# More labels?", f"{sides}, {curve.draws} draws of each size, {curve.seeds} seeds."]
    lines += ["\n".join(f"- {sentence}" for sentence in said), *map(markdown, shown)]
    written = {head: json.dumps(settings) for head, settings in curve.settings.items()}
    lines += [f"Heads: `{settings}`" for settings in dict.fromkeys(written.values())]
    return "\n\n".join([*lines, f"Code: {curve.code}"]) + "\n"


def sweep_markdown(
    ranked: Sequence[Candidate],
    trials: Sequence[Trial],
    recipes: Mapping[str, Mapping[str, Any]],
    reading: Sequence[str],
) -> str:
    """A sweep's page: its best of each head, its ranking, and how to read them. recipes: shipped settings by head."""
    seeds = len(ranked[0].auc)
    first = trials[0]
    lines = [
        f"# Sweep: {len(ranked):,} configurations x {seeds} seed{'s' * (seeds > 1)}, ranked by dev AUC-ROC",
        f"{first.dev_memes:,} memes in dev, {first.dev_positive:,} of them with label 1. No test row was read.",
        markdown(best_table(ranked, recipes)),
        markdown(ranking_table(ranked)),
        "\n".join(reading),
    ]
    return "\n\n".join(lines) + "\n"


def ranking_table(ranked: Sequence[Candidate], shown: int = 20) -> Table:
    """The best candidates of a sweep, with the settings that differ anywhere in it."""
    names = swept(ranked)
    rows = [
        [str(place), each.head, " + ".join(each.encoders), candidate_score(each), *setting_cells(each, names)]
        for place, each in enumerate(ranked[:shown], start=1)
    ]
    title = f"The best {len(rows):,} of {len(ranked):,}"
    return Table(title, ["rank", "head", "encoders", "dev AUC-ROC", *names], rows)


def best_table(ranked: Sequence[Candidate], recipes: Mapping[str, Mapping[str, Any]]) -> Table:
    """Each head's best, beside the shipped recipe on the same encoders where it was tried too."""
    names = swept(ranked)
    rows = []
    for head, best in best_of_each(ranked).items():
        same = [each for each in ranked if (each.head, each.encoders) == (head, best.encoders)]
        shipped = next((each for each in same if each.settings == recipes.get(head)), None)
        against = ["not tried", ""] if shipped is None else [candidate_score(shipped), signed(best.mean - shipped.mean)]
        tried = f"{sum(each.head == head for each in ranked):,}"
        encoders = " + ".join(best.encoders)
        rows.append([head, tried, encoders, candidate_score(best), *against, *setting_cells(best, names)])
    header = ["head", "tried", "encoders", "best dev AUC-ROC", "shipped recipe", "gain", *names]
    return Table("The best of each head", header, rows)


def setting_cells(candidate: Candidate, names: Sequence[str]) -> list[str]:
    values = [candidate.settings.get(name, "") for name in names]
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values]


def leaderboard_table(board: Leaderboard, title: str = "") -> Table:
    """Rows by AUC-ROC on dev; what the best is ahead of each by stands beside the judged split's figures."""
    pairs = {pair.against: pair for pair in board.pairs}
    splits = list(board.standings[0].splits)
    header = [
        "",
        "level",
        "dims",
        "a meme",
        *(each for split in splits for each in (f"{split} AUC-ROC", "95% interval")),
    ]
    header += [f"{board.judged} {METRICS[name].title}" for name in ("accuracy", "macro_f1")]
    header += ["the best is ahead by", "p (Holm)"]
    rows = []
    for place, each in enumerate(board.standings, 1):
        areas = [each.splits[split].metrics["auc_roc"] for split in splits]
        ahead = pairs.get(each.name)
        rows.append(
            [f"{place}. {each.name}", "level" if each.level else "", f"{each.dims:,}", each_meme(each.seconds)]
            + [cell for area in areas for cell in (with_spread(area), interval(area))]
            + [with_spread(each.splits[board.judged].metrics[name]) for name in ("accuracy", "macro_f1")]
            + ([difference(ahead), probability(ahead.p_holm)] if ahead else ["", ""])
        )
    return Table(title, header, rows)


def level_table(board: Leaderboard, title: str = "") -> Table:
    """The group that one may choose from, cheapest first, with how many memes would tell each from the best."""
    place = {each.name: number for number, each in enumerate(board.standings, 1)}
    ahead = {pair.against: [difference(pair), memes_needed(pair)] for pair in board.pairs}
    splits = list(dict.fromkeys((board.dev, board.judged)))
    rows = [
        [f"{place[each.name]}. {each.name}", each_meme(each.seconds), f"{each.dims:,}"]
        + [with_spread(each.splits[split].metrics["auc_roc"]) for split in splits]
        + ahead.get(each.name, ["", ""])
        for each in board.level
    ]
    shown = [f"{split} AUC-ROC" for split in splits]
    return Table(title, ["", "a meme", "dims", *shown, "the best is ahead by", "memes for it"], rows)


def leaderboard_markdown(board: Leaderboard) -> str:
    lines = [f"# Which encoders? {board.dataset}", ""]
    lines += [f"- {sentence}" for sentence in [*leaderboard(board), *board.notes]]
    lines += ["", f"## {len(board.standings):,} rows, by {board.dev}", "", markdown(leaderboard_table(board)), ""]
    lines += ["## Level with the best, cheapest first", "", markdown(level_table(board)), "", "## How to read this", ""]
    lines += [LEADERBOARD_READING, "", "## What was compared", ""]
    for encoder in board.encoders.values():
        if len(encoder.parts) == 1:
            lines.append(f"- {encoder.kind}: {encoder.name}, {encoder.dim:,} dims, `{encoder.fingerprint[:16]}`")
    lines += settings_lines(board.settings)
    lines.append(f"- memes: {', '.join(f'{size.name} {size.memes:,}' for size in board.sizes)}; {board.features}")
    return "\n".join([*lines, f"- seeds: 0 to {board.seeds - 1}; code: {board.code}; run: {board.run}"]) + "\n"


def leaderboard_latex(board: Leaderboard) -> str:
    table = leaderboard_table(board, f"Heads and encoders on {board.dataset}, by {board.dev}.")
    return f"% needs \\usepackage{{booktabs,graphicx}}\n% run {board.run}\n\n{latex(table)}\n"


def leaderboard_csv(board: Leaderboard) -> str:
    """A line per row and split, in the order of dev; empty where a figure is undefined or not known."""
    pairs = {(pair.split, pair.against): pair for pair in board.pairs}
    parts = ("mean", "sd", "low", "high")
    tested = ("difference", "low", "high", "p", "p_holm", "detectable", "memes_needed")
    lines: list[list[Any]] = [
        ["rank", "head", "text_encoder", "image_encoder", "dims", "seconds_a_meme", "device", "level", "split"]
        + [f"{name}_{part}" for name in METRICS for part in parts]
        + [f"best_ahead_{part}" for part in tested]
    ]
    for place, each in enumerate(board.standings, 1):
        for split, row in each.splits.items():
            values = [getattr(row.metrics[name], part) for name in METRICS for part in parts]
            ahead = pairs.get((split, each.name))
            values += [getattr(ahead, part) for part in tested] if ahead else [math.nan] * len(tested)
            written = ["" if math.isnan(value) else f"{value:.6f}" for value in (each.seconds, *values)]
            about = [place, each.head, each.text_encoder, each.image_encoder, each.dims, written[0], each.device]
            lines.append([*about, int(each.level), split, *written[1:]])
    return csv_lines(lines)


def csv_lines(lines: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def across_table(found: Across, title: str = "") -> Table:
    rows = [
        [name, f"{rank:.2f}", *map(bare, areas)]
        for name, rank, areas in zip(found.names, found.mean_rank, found.auc_roc, strict=True)
    ]
    return Table(title, ["", "mean rank", *found.datasets], rows)


def across_markdown(found: Across) -> str:
    lines = [f"# Which encoders, over {len(found.datasets)} datasets?", ""]
    lines += [f"- {sentence}" for sentence in [*across(found), *found.notes]]
    return "\n".join([*lines, "", "Test AUC-ROC, and ranks by it.", "", markdown(across_table(found))]) + "\n"


def across_latex(found: Across) -> str:
    return latex(across_table(found, "AUC-ROC and mean rank over datasets.")) + "\n"


def across_csv(found: Across) -> str:
    rows = zip(found.names, found.mean_rank, found.auc_roc, strict=True)
    return csv_lines([["name", "mean_rank", *found.datasets], *([name, rank, *areas] for name, rank, areas in rows)])


def meme_table(score: "Score", scorer: "Scorer") -> Table:
    """What every head says of one meme."""
    rows = [
        [
            head,
            looks_at(scorer.heads[head]),
            bare(its.probability),
            f"{bare(its.lowest)} to {bare(its.highest)}",
            bare(its.threshold),
            str(its.label),
        ]
        for head, its in score.opinions.items()
    ]
    return Table("", ["head", "looks at", "probability", "of its runs", "label 1 from", "label"], rows)
