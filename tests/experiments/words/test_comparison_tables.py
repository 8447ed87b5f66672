"""What a comparison's tables and pages say: what is undefined, unscored or unsure, too."""

import re

from made_comparison import comparison

from experiments.results import frames
from experiments.results.comparison import Results
from experiments.results.records import Comparison
from experiments.words import comparison_tables as tables


def comparison_csv(record: Comparison) -> str:
    return frames.csv(Results(record, [], {}, {}).table)


def test_terminal_shows_test_and_verdicts_in_120_columns():
    shown = tables.terminal(comparison())
    assert max(map(len, shown.splitlines())) <= 120
    assert "test: 100 memes, 40% of label 1, 20 more without a label" in shown
    assert "test_unseen: 50 memes without labels, predicted but not scored" in shown
    assert "dev:" not in shown
    assert (
        "early vs text (the better single modality on dev): test AUC-ROC .812 vs .793, +.019 [-.004, +.041], p ="
        in shown
    )
    assert "(Holm): no evidence of a gain." in shown
    assert (
        "With 100 memes (90 groups that share no text or image) in test, an AUC-ROC of .812 is good to ±.030." in shown
    )
    assert "precision is undefined for text (2 of 5 seeds); early (2 of 5 seeds): no meme was given label 1." in shown
    assert "test: 1 memes without an image vector left out: 00042." in shown


def test_terminal_shows_dev_where_dev_judges():
    assert "dev: 100 memes, 40% of label 1" in tables.terminal(comparison(judged=["dev"], pairs=[], slices=[]))


def test_markdown_tables_have_as_many_cells_in_every_row():
    written = tables.comparison_markdown(comparison())
    for block in re.findall(r"(?:^\|.*\n)+", written, flags=re.M):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block
    assert "| text | .812±.004 | [.781, .842] | .812±.004 | .812±.004 | undefined |" in written
    assert "Probabilities are in predictions_test_unseen.csv." in written
    assert "| image not in train | 60 | 40% | .812 [.781, .842] | .900 |" in written
    assert (
        "| early vs text | test | accuracy | .750 | .700 | +.050 (+12 -7) | [+.010, +.090] | <.001 | <.001 | a gain | "
        "undefined | undefined |" in written
    )
    assert "+.019 | [-.004, +.041] | .110 | .220 | no evidence of a gain | .032 | 284 |" in written
    assert (
        "| text vs image | test | AUC-ROC | .793 | .700 | +.093 | [+.020, +.160] | .010 | .020 | a gain | .100 | "
        "no number |" in written
    )
    assert '- text, early: `{"hidden": 256}`' in written
    assert written.index("## test:") < written.index("## dev:")


def test_a_comparison_says_where_and_how_it_was_trained():
    assert "- trained on cpu, products in bfloat16\n" in tables.comparison_markdown(comparison())


def test_latex_starts_with_test_and_names_its_packages():
    written = tables.comparison_latex(comparison())
    assert written.startswith("% needs \\usepackage{booktabs,graphicx}\n")
    assert written.index("caption{test:") < written.index("caption{dev:")
    assert written.count("\\begin{table}") == 5
    assert r"\caption{Each head against logistic regression on the same vectors}" in written


def test_tables_are_made_from_the_record_alone():
    again = Comparison.from_json(comparison().to_json())
    for make in (tables.terminal, tables.comparison_markdown, tables.comparison_latex, comparison_csv):
        assert make(again) == make(comparison())


def test_no_fusion_to_judge_is_said():
    assert "No fusion is judged" in tables.terminal(comparison(pairs=[]))
