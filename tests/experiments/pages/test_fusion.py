"""What fusing changed, meme by meme and slice by slice."""

from dataclasses import replace

import numpy as np
from made_comparison import ablation
from made_up_results import figure, results

from experiments.pages import discussion, fusion
from experiments.pages.document import Drawings, Grid
from experiments.results.folder import HeadPredictions, SplitPredictions
from experiments.results.records import NAN, Figure, Slice
from experiments.words import comparison as words
from experiments.words import comparison_tables as tables

AREAS = {head: figure(0.7, 0.6, 0.8) for head in ("text", "image", "early")}


def test_fusion_is_alone_where_no_single_head_agrees():
    right = {"text": [1, 1, 0, 0, 1], "image": [1, 0, 1, 0, 1], "early": [1, 1, 0, 1, 0]}
    label = np.array([1, 0, 1, 0, 1])
    answers = {
        head: HeadPredictions(head, [0], np.where(np.array([each]) == 1, label, 1 - label).astype(float))
        for head, each in right.items()
    }
    predicted = SplitPredictions("test", list("abcde"), label, answers)
    gained, lost = fusion.alone(predicted, "early", ["text", "image"])
    assert (gained.tolist(), lost.tolist()) == ([False, False, False, True, False], [False] * 4 + [True])
    assert fusion.arbitration(predicted, ["text", "image"], ["early"]).rows == [
        ["both are right", "2", "50%"],
        ["only text is right", "1", "100%"],
        ["only image is right", "1", "0%"],
        ["neither is right", "1", "100%"],
    ]
    # says_one: text 1 0 0 1 1, image 1 1 1 1 1
    assert fusion.agreement(predicted, ["text", "image"]).rows == [["text", "", "60%"], ["image", "60%", ""]]


def test_slices_with_few_memes_of_a_label_are_listed_and_not_drawn():
    undefined = {head: Figure(NAN, undefined=1) for head in AREAS}
    short, long = (Slice("test", name, 50, positive, undefined) for name, positive in (("short", 0), ("long", 50)))
    section = fusion.slices(results(AREAS, slices=[short, long]))
    assert [type(block) for block in section.blocks] == [Grid]
    assert [row[0] for row in section.blocks[0].table.rows] == ["short", "long"]
    both = Slice("test", "both", 50, 25, AREAS)
    section = fusion.slices(results(AREAS, slices=[both]))
    assert section.blocks[0].caption == "Where heads do well and badly on test; memes in brackets."
    few = Slice("test", "few", 8, 1, {head: Figure(1.0, 0.0) for head in AREAS})
    section = fusion.slices(results(AREAS, slices=[short, both, few]))
    assert [type(block) for block in section.blocks] == [Drawings, Grid]
    assert section.blocks[0].caption.endswith(
        " Not drawn: 2 with fewer than 10 memes of a label, which have no interval."
    )
    assert "few" not in section.blocks[0].panels[0].alt
    assert "1.000" in section.blocks[1].table.rows[2]
    assert section.blocks[0].panels[0].alt.startswith("AUC-ROC on slices of test. both: text .700")
    assert fusion.slices(results(AREAS)) is None


def test_the_page_and_the_discussion_have_it():
    plain = results(dict.fromkeys(("text", "early"), figure(0.8, 0.7, 0.9)))
    assert fusion.ablation(plain) is None
    ablations = [
        ablation(side, 0.1, 0.2, head, how) for head in ("text", "early") for side in ("text", "image")
        for how in ("shuffled", "mean")
    ]  # fmt: skip
    with_it = replace(plain, comparison=replace(plain.comparison, ablations=ablations))
    drawings, grid = fusion.ablation(with_it).blocks
    assert [panel.name for panel in drawings.panels] == ["ablation-shuffled-test", "ablation-mean-test"]
    assert "early without image -.150 [-.200, -.100]" in drawings.panels[0].alt
    row = ["text without text", ".800", ".650", "-.150", "[-.200, -.100]", ".650", "-.150", "[-.200, -.100]"]
    assert grid.table.rows[0] == row
    assert tables.ablation_table(ablations, "").rows == grid.table.rows
    [said] = discussion.used(with_it)  # a single modality uses its side: that is nothing to say
    assert said == discussion.modality(with_it)[-1] == words.uses(ablations[4:])
