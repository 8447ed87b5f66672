"""What a table is, and its forms: plain text, Markdown, LaTeX. Each question's tables stand in a module of `words`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
WIDTH = 110  # columns of a terminal
PACKAGES = "% needs \\usepackage{booktabs,graphicx}\n"  # of LaTeX


@dataclass(frozen=True)
class Table:
    """Cells of text. Columns of words are left-aligned, the others, of figures, right-aligned."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    rule_before: Sequence[int] = ()  # rows that a line separates from those above
    words: Collection[int] = (0,)  # columns of words


def table_of(
    title: str, items: Iterable[Item], columns: Mapping[str, Callable[[Item], str]], words: Collection[int] = (0,)
) -> Table:
    """Return a table with a row for each item. columns: what a cell says of it, by header. words: as in Table."""
    return Table(title, list(columns), [[cell(item) for cell in columns.values()] for item in items], words=words)


def plain(table: Table) -> str:
    """Columns padded to their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(table.header, *table.rows, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))

    def line(cells: Sequence[str]) -> str:
        padded = [f"{cell:{'<' if place in table.words else '>'}{widths[place]}}" for place, cell in enumerate(cells)]
        return "  ".join(padded).rstrip()

    lines = [line(table.header), rule]
    for number, row in enumerate(table.rows):
        lines += [rule] * (number in table.rule_before) + [line(row)]
    return "\n".join([table.title, "", *lines]) if table.title else "\n".join(lines)


def markdown(table: Table) -> str:
    rule = ["---" if place in table.words else "---:" for place in range(len(table.header))]
    rows = [table.header, rule, *table.rows]
    escaped = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"**{table.title}**", "", *escaped] if table.title else escaped)


def page(*blocks: str | Table | Sequence[str]) -> str:
    """Return a page of Markdown: an empty line between two blocks, a bullet for each sentence of a sequence."""
    texts = [
        markdown(block) if isinstance(block, Table) else block if isinstance(block, str) else bullets(block)
        for block in blocks
    ]
    return "\n\n".join(filter(None, texts)) + "\n"


def bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def latex(table: Table) -> str:
    r"""A `table` as wide as the line, for the packages booktabs and graphicx."""
    columns = "".join("l" if place in table.words else "r" for place in range(len(table.header)))
    lines = [r"\begin{table}", r"  \centering", rf"  \caption{{{escape(table.title)}}}"]
    lines += [r"  \resizebox{\linewidth}{!}{%", rf"  \begin{{tabular}}{{{columns}}}", r"    \toprule"]
    lines += [_latex_row(table.header), r"    \midrule"]
    for number, row in enumerate(table.rows):
        lines += [r"    \midrule"] * (number in table.rule_before) + [_latex_row(row)]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}}", r"\end{table}"])


def latex_page(shown: Iterable[Table], run: str | None = None) -> str:
    """Return tables as a file of LaTeX. run: whose they are, said at its head, with the packages that they need."""
    head = [] if run is None else [f"{PACKAGES}% run {run}"]
    return "\n\n".join([*head, *map(latex, shown)]) + "\n"


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
