"""How figures are written, and a table as plain text, Markdown or LaTeX."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.results.records import Figure, Pair

UNDEFINED = "undefined"


@dataclass(frozen=True)
class Table:
    """Cells of text. The first column is left-aligned, the others are right-aligned."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    rule_before: Sequence[int] = ()  # rows that a line separates from those above


def bare(value: float) -> str:
    """Three digits without the zero before the point: .812, -.034, 1.000."""
    if math.isnan(value):
        return UNDEFINED
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:z.3f}")


def signed(value: float) -> str:
    """A difference: +.019, -.004, +1.000."""
    return bare(value) if math.isnan(value) or value < 0 else f"+{bare(value)}"


def with_spread(figure: Figure) -> str:
    """.812±.004: mean and standard deviation over seeds; the mean alone where there is but one."""
    return bare(figure.mean) + ("" if math.isnan(figure.sd) else f"±{bare(figure.sd)}")


def interval(figure: Figure) -> str:
    return "" if math.isnan(figure.low) or math.isnan(figure.high) else f"[{bare(figure.low)}, {bare(figure.high)}]"


def difference(pair: Pair) -> str:
    """With its interval: +.019 [-.004, +.041]."""
    return f"{signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}]"


def probability(p: float) -> str:
    """A p-value: .043, <.001."""
    return "<.001" if p < 0.001 else bare(p)


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
