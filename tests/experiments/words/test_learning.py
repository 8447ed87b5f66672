"""What a learning curve comes to, and why something of it is not said."""

import pytest
from made_curve import LAW, curve

from experiments.results.learning import Replaced
from experiments.results.records import Figure, Pair
from experiments.words import learning

OTHERS = [
    Replaced("text", "tiny-text", "big-text", Figure(0.8), Figure(0.83), pair)
    for pair in (
        Pair("dev", "text", "text", "auc_roc", 0.85, 0.8, 0.01, 0.09, 0.01, 0.02),
        Pair("test", "text", "text", "auc_roc", 0.83, 0.8, -0.01, 0.07, 0.2, 0.2, 0, 0, "none", 0.04, 210.0),
    )
]


def test_heads_are_told_of_and_references_are_not():
    said = learning.learning(curve())
    assert said == [
        "Text on test: AUC-ROC rises by +.100 [+.050, +.150] from 30 to 120 memes of train; twice as many labels may "
        "bring +.012 [+.004, +.020] more.",
        "Early on test: AUC-ROC rises by +.100 [+.050, +.150] from 30 to 120 memes of train; what twice as many labels "
        "bring is not said: the sizes do not lie on a power law (p .010).",
        "mind this",
    ]


@pytest.mark.parametrize("refused", ["too few memes", "no rise", "too few sizes", "no fit", "poor fit", "too wide"])
def test_a_refused_law_promises_nothing(refused):
    said = learning.doubling(LAW.but(refused=refused))
    assert said.startswith("Text on test: ")
    assert "may bring" not in said
    assert ("+.012" in said) == (refused == "too wide")  # named, for it is what is too uncertain


@pytest.mark.parametrize("why", learning.NO_OTHERS)
def test_why_other_encoders_are_not_told_of(why):
    [said] = learning.other_encoders([], why, [])
    assert said == f"What another encoder would bring is not said: {learning.NO_OTHERS[why]}"


def test_another_encoder_is_told_of_on_test_with_the_dev_that_chose_it():
    [said] = learning.other_encoders(OTHERS, "", curve().splits)
    start = "Text on big-text in place of tiny-text: test AUC-ROC +.030 [-.010, +.070]"
    assert said.startswith(start)
    assert "Holm; dev, which chose it, has +.050 [+.010, +.090]" in said
    assert said.endswith("do not tell the two apart; it takes 210.")


def test_tables_have_a_column_for_each_size_and_a_row_for_each_law():
    dev, test, laws = learning.learning_tables(curve())
    assert dev.title == "AUC-ROC on dev by memes of train, mean over 2 draws and 3 seeds"
    assert dev.header == ["", "30", "60", "120"]
    assert test.rows[0] == ["text", ".730 [.650, .850]", ".760 [.650, .850]", ".820 [.650, .850]"]
    assert [row[-1] for row in laws.rows] == ["+.012 [+.004, +.020]", "poor fit", "no rise"]
    others = learning.learning_tables(curve(), OTHERS)[-1]
    assert [row[:4] for row in others.rows] == [
        ["text", "dev", "", "+.050 [+.010, +.090]"],
        ["text", "test", "+.012 [+.004, +.020]", "+.030 [-.010, +.070]"],
    ]
    assert [row[4] for row in others.rows] == ["dev chose them", "no evidence of a gain"]


def test_the_page_has_equal_settings_once():
    said, tables = learning.learning(curve()), learning.learning_tables(curve())
    page = learning.learning_markdown(curve(), said, tables)
    assert page.startswith("# More labels?\n")
    assert "tiny-text (4) + tiny-image (4), 2 draws of each size, 3 seeds." in page
    assert page.count('Heads: `{"hidden": 8}`') == 1
    assert page.count("- mind this") == 1
