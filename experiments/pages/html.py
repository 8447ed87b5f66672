"""A page as one HTML file that needs nothing else: no script, no network, no font.

Everything that comes from a dataset is escaped by the template; the page's own policy forbids scripts and requests, so
that even a slip there could neither run nor call anything.
"""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.pages.document import Page, Panel
from experiments.pages.ink import COLOURS

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def html(page: Page) -> str:
    environment = Environment(
        loader=PackageLoader("experiments.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    tools: dict[str, Any] = {"drawing": drawing, "colours": Markup(COLOURS), "policy": POLICY}
    return environment.get_template("page.html.jinja").render(page=page, **tools)


def drawing(panel: Panel) -> Markup:
    """Our own drawing, which holds no word from a dataset."""
    return Markup(panel.svg)
