"""Write a page: <name>.html, which needs nothing else, and <name>.md with its drawings in figures/."""

from pathlib import Path

from experiments.pages import ink
from experiments.pages.document import Page
from experiments.pages.html import html
from experiments.pages.markdown import FOLDER, markdown
from extract.files import write_text


def publish(page: Page, out: Path, name: str) -> Path:
    """Each file is written whole or not at all. Returns the HTML file."""
    for panel in page.panels:
        write_text(out / FOLDER / f"{panel.name}.svg", ink.alone(panel))
    write_text(out / f"{name}.md", markdown(page))
    write_text(out / f"{name}.html", html(page))
    return out / f"{name}.html"
