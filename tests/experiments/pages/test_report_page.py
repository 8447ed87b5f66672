"""The report's page: what stands in short, and heads that are not there in full."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_results import LABEL, figure, results

from experiments.pages import report_page
from experiments.pages.document import Paragraph


def test_in_short_says_what_its_intervals_count_as_luck():
    found = results(dict.fromkeys(("text", "image"), figure(0.7, 0.6, 0.8)))
    alone = replace(found, comparison=replace(found.comparison, seeds=1))
    captions = [report_page.in_short(each)[0].caption for each in (found, alone)]
    assert [each.rpartition(" over ")[2] for each in captions] == ["memes and seeds", "memes"]


@pytest.mark.parametrize("diverged", [["image"], ["text", "image"]])
def test_a_head_that_diverged_is_named_and_the_others_are_drawn(diverged):
    calls = {"text": np.where(LABEL == 1, 0.6, 0.2), "image": np.full(100, 0.5)}
    calls |= {head: np.full(100, np.nan) for head in diverged}
    section = report_page.split_section(results(dict.fromkeys(calls, figure(0.7, 0.6, 0.8)), calls=calls), "test")
    sentences = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert sentences == [f"No figures of {' and '.join(diverged)}: training diverged."]
    panels = [panel.name for block in section.blocks for panel in getattr(block, "panels", [])]
    of_text = ["roc-test", "precision-recall-test", "confusion-test-text", "calibration-test-text"]
    assert panels == (of_text if diverged == ["image"] else [])
