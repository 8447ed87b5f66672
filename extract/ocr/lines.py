"""What is written on an image: its lines, where they lie, and the order in which a person reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

GAP = 1.0  # line heights of nothing between two lines that part blocks and columns
OVERLAP = 0.5  # share of the lower line's height that two pieces of one row have in common at least

Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """A stretch of text, as far as the reader takes it for one line."""

    text: str
    box: Corners  # x, y in pixels of the upright image, clockwise from the text's top left
    confidence: float  # 0 to 1

    def span(self, axis: int) -> tuple[float, float]:
        """Where it begins and ends, along x (0) or y (1)."""
        return min(corner[axis] for corner in self.box), max(corner[axis] for corner in self.box)


@dataclass(frozen=True)
class Reading:
    """What is written on one image; no line at all where there are no words."""

    lines: tuple[Line, ...]  # in reading order
    width: int  # pixels of the upright image
    height: int

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "Reading":
        """Back from JSON of `dataclasses.asdict`. Raises KeyError, TypeError, ValueError for anything else."""
        lines = [Line(each["text"], tuple(map(tuple, each["box"])), each["confidence"]) for each in row["lines"]]
        return cls(tuple(lines), int(row["width"]), int(row["height"]))


def without_specks(lines: Sequence[Line]) -> list[Line]:
    """Leave out single signs lower than half of the median line: a highlight or a rivet that looks like an o."""
    least = _height(lines) / 2
    return [line for line in lines if len(line.text) > 1 or line.span(1)[1] - line.span(1)[0] >= least]


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Blocks from top to bottom, in a block columns from left to right, in a column rows, in a row left to right.

    A recursive X-Y cut (Nagy and Seth 1984) at gaps of GAP line heights. The order that they come in does not matter.
    """
    if len(lines) < 2:
        return list(lines)
    gap = GAP * _height(lines)
    for axis in (1, 0):
        groups = _cut(lines, axis, gap)
        if len(groups) > 1:
            return [line for group in groups for line in in_reading_order(group)]
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (sum(line.span(1)), line.box, line.text)):
        if rows and _overlap(rows[-1][0].span(1), line.span(1)) >= OVERLAP:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: (line.box, line.text))]


def _height(lines: Sequence[Line]) -> float:
    """Of the median line, in pixels."""
    return median(bottom - top for top, bottom in (line.span(1) for line in lines)) if lines else 0.0


def _cut(lines: Sequence[Line], axis: int, gap: float) -> list[list[Line]]:
    """Groups between which nothing lies for `gap` pixels along an axis."""
    groups: list[list[Line]] = []
    end = 0.0
    for line in sorted(lines, key=lambda line: (*line.span(axis), line.box, line.text)):
        if groups and line.span(axis)[0] - end < max(gap, 1.0):
            groups[-1].append(line)
            end = max(end, line.span(axis)[1])
        else:
            groups.append([line])
            end = line.span(axis)[1]
    return groups


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """What two spans share, as a share of the shorter one."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared / max(1e-9, min(one[1] - one[0], other[1] - other[0]))
