"""Sections of a report on thresholds and on who is hurt, where these were asked for of this very comparison."""

import numpy as np
from made_moderation import points, slices
from made_up_results import LABEL, figure, results

from experiments.pages import moderation
from experiments.pages.document import Drawings, Grid
from experiments.results.records import write_record

CALLS = {"text": np.where(LABEL == 1, 0.6, 0.2), "image": np.linspace(0, 1, 100)}
FOUND = results(dict.fromkeys(CALLS, figure(0.7, 0.6, 0.8)), calls=CALLS)


def test_points_of_another_run_are_not_shown(tmp_path):
    assert moderation.section(FOUND, tmp_path) is None
    write_record(tmp_path, "operating_points", points("another run"))
    assert moderation.section(FOUND, tmp_path) is None
    write_record(tmp_path, "operating_points", points(FOUND.comparison.run, heads=CALLS))
    section = moderation.section(FOUND, tmp_path)
    [grid] = [block for block in section.blocks if isinstance(block, Grid)]
    assert grid.table.title == f"Operating points of {FOUND.best_on_dev} on test"


def test_risk_says_how_many_are_wrong_where_nobody_and_where_half_is_looked_at():
    panel = moderation.risk(FOUND, points(heads=CALLS), "test")
    # image is right of every meme of label 0 from half on, which are the later ones, and wrong of most others
    wrong = np.mean((CALLS["image"] >= 0.4) != (LABEL == 1))
    assert panel.alt.startswith(
        "Error of the rest by share reviewed on test: text .000 with none, .000 with half, image "
    )
    assert f"image {wrong:.3f}".replace("0.", ".") in panel.alt
    assert moderation.risk(FOUND, points(heads=()), "test").svg != panel.svg  # without the points' marks


def test_rates_of_a_column_are_drawn_with_their_memes():
    section = moderation.by_field(FOUND, slices(field="who says it?"))
    assert section.title == "Who is hurt, by who says it?"
    assert section.anchor == "by-12-whosaysit"
    [panel] = next(block for block in section.blocks if isinstance(block, Drawings)).panels
    assert panel.name == "rates-who-says-it--test"
    assert "web: missed, of label 1 .300, false alarms, of label 0 .100; phone: " in panel.alt
    assert "web (45)" in panel.svg
