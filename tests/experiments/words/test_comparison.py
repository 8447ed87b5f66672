"""What is said of a comparison: what pairs show, and what is undefined, unscored or unsure."""

import math
from dataclasses import replace

import pytest
from made_comparison import ablation, comparison, pair

from experiments import tables as forms
from experiments.evaluate import tests
from experiments.results.records import (
    NAN,
    Comparison,
    Figure,
    Pair,
    Row,
    SplitSize,
)
from experiments.words import comparison as words
from experiments.words import comparison_tables as shown_as


def concluded(*pairs: Pair) -> list[Pair]:
    return [replace(each, conclusion=tests.conclude(each)) for each in pairs]


def test_that_no_difference_can_be_shown_is_said_wherever_one_would_be():
    one = replace(pair(), undetectable=True, memes_needed=32.0, conclusion="none")
    other = replace(pair(), head="late", detectable=0.912, conclusion="none")
    start = "Early against text: these memes of test show no difference of AUC-ROC four times in five (power 80%, one "
    assert words.power(one) == f"{start}test at .05); the .020 seen here takes 32 memes."
    assert words.powers([one, other]) == [
        "Early and late against text: these memes of test show differences of AUC-ROC of .912 four times in five "
        "(power 80%, one test at .05); of early none; those seen here take 32 memes; for late more memes alone would "
        "not do."
    ]
    found = comparison(pairs=[one, other])
    assert Comparison.from_json(found.to_json()).pairs[0].undetectable
    shown = shown_as.pairs_table(found.pairs, "")
    assert [row[shown.header.index("shown at 80%")] for row in shown.rows] == ["none", ".912"]


def test_many_fusions_share_a_sentence_on_what_these_memes_would_show():
    found = [
        replace(pair(), head=head, detectable=shown, memes_needed=memes, conclusion=conclusion)
        for head, shown, memes, conclusion in (
            ("early", 0.052, NAN, "none"), ("late", 0.041, 330.1, "unconfirmed gain"), ("mean", 0.041, 323.2, "none"),
            ("linear", 0.02, 50.0, "gain"),
        )
    ]  # fmt: skip
    assert words.powers(found) == [
        "Early, late and mean against text: these memes of test show differences of AUC-ROC of .041 to .052 four times "
        "in five (power 80%, one test at .05); those seen here take 324 to 331 memes; for early more memes alone would "
        "not do."
    ]
    assert words.powers(found[1:2]) == [words.power(found[1])]
    assert words.powers(found[3:]) == []
    assert sum("four times" in said for said in words.summary(comparison(pairs=found))) == 1


def test_heads_and_regressions_in_one_sentence():
    found = concluded(
        Pair("test", "text", "LR text", "auc_roc", 0.81, 0.80, -0.02, 0.04, 0.5, 0.5),
        Pair("test", "image", "LR image", "auc_roc", 0.79, 0.80, -0.04, 0.02, 0.5, 0.5),
        Pair("test", "early", "LR both", "auc_roc", 0.90, 0.80, 0.06, 0.14, 0.001, 0.003),
    )
    assert words.against_linear(found) == [
        "Heads vs logistic regression on the same vectors: test AUC-ROC text +.010, image -.010, early +.100: "
        "no evidence of a gain for text, image; a gain for early."
    ]
    assert words.against_linear(found[:2])[0].endswith("text +.010, image -.010: no evidence of a gain.")
    assert words.against_linear([]) == []


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (pair(), "no evidence of a gain"),
        (pair(-0.02, -0.05, 0.01), "no evidence of a gain"),
        (pair(0.04, 0.01, 0.07, 0.01), "a gain"),
        (pair(-0.04, -0.07, -0.01, 0.01), "a loss"),
        (pair(0.04, 0.01, 0.07, 0.06), "no firm evidence of a gain"),
        (pair(-0.04, -0.07, 0.001, 0.04), "no firm evidence of a loss"),
        (pair(p=NAN), "too few memes to tell"),
    ],
)
def test_conclusion(made, says):
    assert words.conclusion(*concluded(made)) == says


def test_verdict_is_one_sentence():
    assert words.fusion_sentence(*concluded(pair(p=0.11))) == (
        "early vs text (the better single modality on dev): test AUC-ROC .820 vs .800, +.020 [-.010, +.050], "
        "p = .110 (Holm): no evidence of a gain."
    )
    assert "p < .001 (Holm): a gain." in words.fusion_sentence(*concluded(pair(0.04, 0.01, 0.07, 1e-9)))


def test_precision_says_how_little_a_small_split_shows():
    rows = [
        Row(name, "head", "test", 5, 0.5, {"auc_roc": Figure(mean, 0.01, mean - 0.05, mean + 0.03)}, {})
        for name, mean in (("text", 0.7), ("early", 0.8))
    ]
    size = SplitSize("test", 500, 358, 120, 355, "", 350)
    assert words.precision(size, rows) == (
        "With 358 memes (350 groups that share no text or image) in test, an AUC-ROC of .800 is good to ±.040."
    )
    lost = [Row("text", "head", "test", 5, 0.5, {"auc_roc": Figure(0.7)}, {})]
    few = replace(size, labelled=51, positive=1)
    assert words.precision(few, lost) == (
        "With 1 meme of label 1 and 50 of label 0, test tells no two heads apart, and its AUC-ROCs have no intervals: "
        "that takes 10 of either that share no text or image."
    )


def test_a_split_of_one_class_says_why_it_is_undefined():
    rows = [
        replace(row, metrics=row.metrics | {"auc_roc": Figure(NAN, undefined=5)})
        for row in comparison().rows
        if row.split == "test" and row.kind == "head"
    ]
    assert words.undefined(rows)[0] == "AUC-ROC is undefined for text; early: the split holds one class only."
    assert "undefined" in forms.plain(shown_as.main_table(rows, ""))


def test_heading_of_a_whole_split():
    assert words.heading(SplitSize("dev", 1200, 1200, 300, 1000)) == "dev: 1,200 memes, 25% of label 1"


@pytest.mark.parametrize(
    ("text", "image", "says"),
    [
        ((0.10, 0.20), (0.01, 0.05), "it uses the text and the image, the text more"),
        ((0.10, 0.20), (0.06, 0.15), "it uses the text and the image"),
        ((-0.01, 0.03), (0.06, 0.15), "it uses the image; no evidence that it uses the text"),
        ((-0.01, 0.03), (-0.02, 0.02), "no evidence that it uses the text or the image"),
    ],
)
def test_which_sides_a_head_uses_is_said_of_intervals(text, image, says):
    sides = [ablation("text", *text), ablation("image", *image), ablation("text", 0.3, 0.4, how="mean")]
    assert words.uses(sides).endswith(f" with the image shuffled among memes: {says}.")
    assert words.uses(sides).startswith("Early's AUC-ROC on test changes by ")
    assert words.uses([ablation("text", NAN, NAN)]) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"memes_needed": 5123.4}, "300 memes of test do not tell early: a and text: a apart; it takes 5,124."),
        (
            {"memes_needed": math.nan},
            "300 memes of test do not tell early: a and text: a apart; more memes alone would",
        ),
        ({"memes_needed": 120.0}, "apart; it takes 120 in a single test, and more in one of several."),
        ({"conclusion": "gain"}, ""),
        ({"conclusion": "too few"}, "With 3 memes of label 1 and 297 of label 0, test tells no two heads apart, and "),
        ({"detectable": math.nan}, ""),
    ],
)
def test_what_memes_do_not_tell_is_said_with_how_many_would(changes, says):
    pair = Pair("test", "early: a", "text: a", "auc_roc", 0.8, 0.79, -0.01, 0.03, 0.3, 0.6, conclusion="none")
    size = SplitSize("test", 300, 300, 3, 300)
    said = words.untold(replace(pair, **{"detectable": 0.04, "memes_needed": 900.0} | changes), size)
    assert says in said
    assert bool(said) == bool(says)
