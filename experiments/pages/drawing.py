"""How heads look, and matplotlib drawings as SVGs that take their colours from the page: the same bytes every time.

Colours are drawn as fixed hex codes and then renamed to CSS variables: one drawing serves light, dark and print.
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

from experiments.options import ENSEMBLE

INK, FAINT, PAPER = "#010203", "#8a8f98", "#fdfefc"
POINT = 4 / 3  # CSS pixels
Line = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How a head is drawn everywhere: heads differ by colour, by line style and by marker."""

    colour: str
    line: Line
    marker: str


# Okabe and Ito's palette, safe for colour-blind readers, on white; on black, lighter: the same hues.
PALETTE = {
    "#0072b2": "#56b4e9",  # blue
    "#d55e00": "#f0923b",  # vermilion
    "#009e73": "#2fc89b",  # bluish green
    "#cc79a7": "#e6a0c6",  # reddish purple
    "#e69f00": "#ffc653",  # orange
    "#56b4e9": "#b5e1ff",  # sky blue
    "#1b1b1b": "#cfd4da",  # black, nearly: matplotlib writes #000000 of its own accord
    "#807500": "#d6cc4e",  # olive, for their yellow, which fades on white
}
# the dotted line is denser than matplotlib's own
LINES: tuple[Line, ...] = (
    "-", "--", "-.", (0.0, (1.5, 1.2)), (0.0, (7.0, 1.5)), (0.0, (4.0, 1.2, 1.2, 1.2, 1.2, 1.2)), (0.0, (2.5, 2.5)),
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "<", "X", "p")
REFERENCE, OF_ALL = Look(FAINT, "-", "x"), Look(INK, "-", "*")  # the second: the ensemble's
VARIABLES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"} | {
    colour: f"--look-{number}" for number, colour in enumerate(PALETTE, 1)
}
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
    """Return how a head is drawn, by its place in HEADS; references, and heads that are no longer there, are grey."""
    from heads.models import HEADS  # here, for torch takes seconds, and a dataset's page shows no head

    if head in HEADS:
        return numbered(list(HEADS).index(head))
    return OF_ALL if head == ENSEMBLE else REFERENCE


def numbered(number: int) -> Look:
    """Return the look of the head with this number, 0 the first: no two of the first 56 share colour and line."""
    colours = list(PALETTE)
    return Look(colours[number % len(colours)], LINES[number % len(LINES)], MARKERS[number % len(MARKERS)])


def tone(head: str) -> str:
    """Return a head's colour as CSS."""
    return f"var({VARIABLES[look(head).colour]})"


def css() -> str:
    """Return the rules that give the variables their colours. Inside a page its own win; a file alone brings these."""
    light = {"--ink": "#1d2126", "--faint": FAINT, "--paper": "#fff"}
    dark = {"--ink": "#e6e8eb", "--faint": "#838b96", "--paper": "#14171b"}
    for colour, lighter in PALETTE.items():
        light[VARIABLES[colour]], dark[VARIABLES[colour]] = colour, lighter
    day, night = (";".join(f"{name}:{value}" for name, value in shades.items()) for shades in (light, dark))
    return f":root{{{day}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{night}}}}}"


@contextmanager
def style() -> Iterator[None]:
    """Draw by our settings over matplotlib's own defaults: the user's matplotlibrc changes nothing.

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


@dataclass(frozen=True)
class Panel:
    """One drawing, in an SVG that takes its colours from the page around it."""

    name: str  # unique on the page; the file's name beside Markdown
    svg: str
    width: float  # CSS pixels
    alt: str  # what it shows, for those who cannot see it

    @property
    def standalone(self) -> str:
        """The drawing as a file of its own, with its own paper and colours."""
        shades = f"<style>{css()} svg{{background:var(--paper)}} text{{font-family:sans-serif}}</style>"
        end = self.svg.index(">")
        return f'{self.svg[:end]} width="{self.width:.0f}">\n{shades}{self.svg[end + 1 :]}\n'


def panel(name: str, alt: str, size: tuple[float, float], draw: Callable[[Canvas], None]) -> Panel:
    """Draw on a canvas of `size` (inches) and return it as a panel."""
    out = io.StringIO()
    with style():
        canvas = Canvas(figsize=size, layout="constrained")
        draw(canvas)
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        canvas.savefig(out, format="svg", metadata=nothing)
    return Panel(name, embeddable(out.getvalue(), name, alt), size[0] * 72 * POINT, alt)


def embeddable(svg: str, name: str, alt: str) -> str:
    """Return an <svg> for the inside of a page: ids of its own, colours by variable, a label for screen readers."""
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
        f'aria-label="{escape(alt)}" style="stroke-linejoin:round;stroke-linecap:butt">'
    )
    return opening + body[body.index(">") + 1 :].rstrip()
