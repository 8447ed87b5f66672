"""What a table looks like: columns line up, and LaTeX stumbles on nothing."""

import re

from hypothesis import given
from hypothesis import strategies as st

from experiments import tables


def test_plain_columns_line_up():
    table = tables.Table("a title", ["", "x"], [["long name", "1"], ["b", "undefined"]], rule_before=[1])
    assert tables.plain(table).splitlines() == [
        "a title",
        "",
        "                   x",
        "--------------------",
        "long name          1",
        "--------------------",
        "b          undefined",
    ]


def test_columns_of_words_are_left_aligned_in_every_form():
    table = tables.Table("", ["", "n", "shows"], [["a", "1", "no"], ["b", "10", "a gain"]], words=(0, 2))
    assert tables.plain(table).splitlines()[2:] == ["a   1  no", "b  10  a gain"]
    assert tables.markdown(table).splitlines()[1] == "| --- | ---: | --- |"
    assert r"\begin{tabular}{lrl}" in tables.latex(table)


def test_latex_has_nothing_that_latex_stumbles_on():
    table = tables.Table("50% of test_seen & more", ["", "p"], [["my_bert", "<.001"], ["±", "[-.004, -.001]"]], [1])
    written = tables.latex(table)
    assert r"\caption{50\% of test\_seen \& more}" in written
    assert r"my\_bert & $<$.001 \\" in written
    assert r"$\pm$ & [$-$.004, $-$.001] \\" in written
    assert written.count(r"\midrule") == 2


@given(st.text(alphabet="a_%&#${}\\~^±<>-[, .5", max_size=12))
def test_escaped_latex_has_no_bare_special_character(text):
    escaped = tables.escape(text)
    assert not re.search(r"(?<!\\)[%&#_]", escaped)
    assert escaped.count("{") == escaped.count("}") or "{" in text or "}" in text
    assert not re.search(r"[±<>](?!\$)|(?<!\$)[±<>]", escaped.replace(r"$\pm$", ""))
