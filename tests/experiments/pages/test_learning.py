"""A learning curve as drawings, and as a section of a report."""

from dataclasses import replace

from made_curve import LAW, curve
from made_up_results import figure, results

from experiments.pages import learning
from experiments.pages.document import Drawings, Paragraph
from experiments.results.learning import NAME, Replaced
from experiments.results.records import Figure, Pair, write_record


def test_the_reference_that_is_best_on_dev_is_drawn_beside_the_heads():
    made = curve()
    assert learning.shown(made) == ["text", "early", "kNN both"]
    assert learning.shown(curve(points=[point for point in made.points if point.kind == "head"])) == ["text", "early"]
    raised = [
        replace(point, auc_roc=Figure(0.95)) if (point.head, point.split) == ("majority class", "test") else point
        for point in made.points
    ]
    assert learning.shown(curve(points=raised)) == ["text", "early", "kNN both"]  # test has no say


def test_every_split_has_a_drawing_that_says_all_its_figures():
    dev, test = learning.panels(curve())
    assert [dev.name, test.name] == ["learning_curve-dev", "learning_curve-test"]
    assert test.alt.startswith(
        "AUC-ROC on test by memes of train. text: .730 [.650, .850] of 29, .760 [.650, .850] of 59, .820 [.650, .850] "
        "of 119; early: .780"
    )
    # what is expected of twice the labels is drawn of a law that fits, on its own split
    lines = {law: learning.drawing(curve(laws=[law]), "test").svg for law in (LAW, LAW.but(refused="no fit"))}
    assert lines[LAW] != lines[LAW.but(refused="no fit")]
    assert learning.drawing(curve(laws=[LAW]), "dev").svg == learning.drawing(curve(laws=[]), "dev").svg


def test_what_other_encoders_bring_is_drawn_beside_twice_the_labels():
    pair = Pair("test", "text", "text", "auc_roc", 0.83, 0.8, -0.01, 0.07, 0.2, 0.2)
    others = [Replaced("text", "tiny-text", "big-text", Figure(0.8), Figure(0.83), pair)]
    panel = learning.panels(curve(), others)[-1]
    twice = "text: twice the labels, test +.012 [+.004, +.020]; "
    assert panel.alt == f"Change of AUC-ROC. {twice}text: other encoders, test +.030 [-.010, +.070]."
    refused = learning.beside(curve(laws=[LAW.but(refused="no rise")]), others)
    assert refused.alt == panel.alt.replace(twice, "")


def test_a_section_is_of_the_same_memes_and_vectors_or_says_that_it_is_not(tmp_path):
    found = results(dict.fromkeys(("text", "early"), figure(0.7, 0.6, 0.8)))
    assert learning.section(found, tmp_path) is None
    its = curve(splits=found.comparison.splits, encoders=found.comparison.encoders)
    write_record(tmp_path / NAME, NAME, its)
    blocks = learning.section(found, tmp_path).blocks
    assert [len(block.panels) for block in blocks if isinstance(block, Drawings)] == [2]
    write_record(tmp_path / NAME, NAME, curve())
    [block] = learning.section(found, tmp_path).blocks
    assert isinstance(block, Paragraph)
    assert block.text == f"{tmp_path / NAME} is of other memes or encoders than this comparison, and is left out."
