"""Matplotlib drawings as SVGs that take their colours from the page, with the same bytes every time.

Colours are drawn as fixed hex codes and then renamed to CSS variables: one drawing serves light, dark and print.
Heads differ by colour (Okabe and Ito's palette, safe for colour-blind readers), by line style and by marker.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure as Canvas
from matplotlib.style import context

from experiments.pages.document import Panel

INK, FAINT, PAPER = "#010203", "#8a8f98", "#fdfefc"
POINT = 4 / 3  # CSS pixels


@dataclass(frozen=True)
class Look:
    """How a head is drawn everywhere."""

    colour: str
    line: str | tuple[float, tuple[float, float]]
    marker: str


LOOKS = {
    "text": Look("#0072b2", "-", "o"),
    "image": Look("#d55e00", "--", "s"),
    "early": Look("#009e73", "-.", "^"),
    "late": Look("#cc79a7", (0.0, (1.5, 1.2)), "D"),  # denser than matplotlib's dotted line
}
REFERENCE = Look(FAINT, "-", "x")
VARIABLES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"} | {
    look.colour: f"--{head}" for head, look in LOOKS.items()
}
# Inside a page the page's own variables win; a file opened alone brings these. Dark colours are lighter: same hues.
COLOURS = """\
:root{--ink:#1d2126;--faint:#8a8f98;--paper:#fff;--text:#0072b2;--image:#d55e00;--early:#009e73;--late:#cc79a7}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--faint:#838b96;--paper:#14171b;--text:#56b4e9;--image:#f0923b;\
--early:#2fc89b;--late:#e6a0c6}}"""
STYLE = {
    "svg.hashsalt": "memefuse",
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "hatch.color": PAPER,
    "hatch.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def look(head: str) -> Look:
    return LOOKS.get(head, REFERENCE)


@contextmanager
def style() -> Iterator[None]:
    """Our settings over matplotlib's own defaults: the user's matplotlibrc changes nothing.

    A font that is missing here is missing only for measuring: the reader's browser brings its own.
    """
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.CRITICAL)
    try:
        with context(["default", STYLE]):
            yield
    finally:
        fonts.setLevel(level)


def panel(name: str, says: str, size: tuple[float, float], draw: Callable[[Canvas], None]) -> Panel:
    """Draw on a canvas of `size` (inches) and return it as a panel."""
    out = io.StringIO()
    with style():
        canvas = Canvas(figsize=size, layout="constrained")
        draw(canvas)
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        canvas.savefig(out, format="svg", metadata=nothing)
    return Panel(name, mended(out.getvalue(), name, says), size[0] * 72 * POINT, says)


def mended(svg: str, name: str, says: str) -> str:
    """An <svg> for the inside of a page: ids of its own, colours by variable, a label for screen readers."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.S)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", body, flags=re.S)
    body = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", body)
    # fewer decimals in coordinates, not in what is written
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", body)
    viewbox = re.search(r'viewBox="[^"]*"', body)
    assert viewbox is not None
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {viewbox[0]} role="img" '
        f'aria-label="{escape(says)}" style="stroke-linejoin:round;stroke-linecap:butt">'
    )
    return opening + body[body.index(">") + 1 :].rstrip()


def alone(panel: Panel) -> str:
    """The panel as a file of its own, with its own paper and colours."""
    shades = f"<style>{COLOURS} svg{{background:var(--paper)}} text{{font-family:sans-serif}}</style>"
    start = panel.svg.index(">") + 1
    opening = panel.svg[: start - 1] + f' width="{panel.width:.0f}">'
    return f"{opening}\n{shades}{panel.svg[start:]}\n"
