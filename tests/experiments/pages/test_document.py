"""A page in both forms: what comes from a dataset shows as itself, and every block is there."""

import re

from hypothesis import given
from hypothesis import strategies as st
from made_up_memes import HOSTILE

from experiments.pages import document
from experiments.pages.document import Answer, Card, Drawings, Gallery, Grid, Page, Paragraph, Section, Thumbnail
from experiments.pages.drawing import Panel
from experiments.tables import Table

SQUARE = Panel("square", '<svg viewBox="0 0 9 9"><path d="M0 0h9v9H0z"/></svg>', 9.0, "A square & more.")


@given(st.text(alphabet="ab <>&*_`[]!#-+|\\\n\t~", max_size=40) | st.sampled_from(HOSTILE))
def test_plain_text_is_one_line_without_markup_and_loses_nothing(text):
    shown = document.plain(text)
    assert "\n" not in shown
    assert not set("<>") & set(shown)
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]~]", shown)
    back = re.sub(r"\\(.)", r"\1", shown).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert back == " ".join(text.split())


def test_a_gallery_in_markdown_cuts_long_texts_and_marks_answers():
    answers = [Answer("text", ".900", True), Answer("image", ".100", False), Answer("early", ".500", None)]
    cards = [Card("1", "label 1", "x" * (document.CHARACTERS + 1), None, answers), Card("2", "no label", None, None)]
    table = document.gallery_table(Gallery("Memes", cards))
    assert table.header == ["meme", "text", "label", "text", "image", "early"]
    assert table.rows[0] == ["1", "x" * document.CHARACTERS + "…", "label 1", ".900 ✓", ".100 ✗", ".500"]
    assert table.rows[1] == ["2", "", "no label"]


def test_a_page_holds_every_block_in_reading_order_and_escapes_it_in_both_forms(tmp_path):
    part = Section("A part", "part", [Drawings("Of <b>all</b>.", [SQUARE])])
    grid = Grid(Table("Rows", ["<i>", "b"], [["<script>", "2"]]))
    sections = [Section("One & all", "one", [grid], [part])]
    page = Page("A title", "of a test", sections, [Paragraph("First <em>.")])
    assert page.blocks == [*page.opening, grid, *part.blocks]
    assert page.panels == [SQUARE]
    assert document.publish(page, tmp_path, "mine") == tmp_path / "mine.html"
    markdown, html = ((tmp_path / f"mine.{end}").read_text() for end in ("md", "html"))
    assert (tmp_path / "figures" / "square.svg").read_text() == SQUARE.standalone
    titles = ["# A title", "## One &amp; all", "### A part"]
    assert [line for line in markdown.splitlines() if line.startswith("#")] == titles
    assert "![A square &amp; more.](figures/square.svg)\n\n*Of &lt;b&gt;all&lt;/b&gt;.*" in markdown
    for text in (markdown, html):
        assert "<script>" not in text
        assert "&lt;script&gt;" in text
        assert "First &lt;em&gt;." in text
    assert SQUARE.svg in html


def test_only_a_thumbnail_is_an_image():
    thumbnail = Thumbnail("data:image/jpeg;base64,AA==", 1, 1)
    for small in (thumbnail, None):
        page = Page("", "", [Section("", "a", [Gallery("", [Card("1", "", "", small)])])])
        assert page.has_images == (small is not None)
        assert ("<img" in document.html(page)) == page.has_images
