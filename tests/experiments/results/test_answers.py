"""Answers asked of a comparison later on name its run, and come back for that run alone."""

from dataclasses import replace

import pandas as pd
import pytest
from made_curve import curve
from made_moderation import points, slices
from made_up_results import figure, results

from experiments.evaluate.operating_points import OperatingPoints
from experiments.results import answers, frames
from experiments.tables import Table
from extract.errors import Failed, Refused


def test_an_answer_comes_back_for_its_own_run(tmp_path):
    answer = points("mine")
    shown = [Table("A title", ["", "b"], [["a", "1"]]), Table("Another", ["c"], [["2"]])]
    answers.write(tmp_path, "operating_points", answer, frames.operating_points(answer.points), shown, ["So it is."])
    read = answers.read_answer(tmp_path, "operating_points", OperatingPoints, "mine")
    assert repr(read) == repr(answer)  # NaN is not equal to itself
    assert answers.read_answer(tmp_path, "operating_points", OperatingPoints, "another") is None
    assert answers.read_answer(tmp_path, "none", OperatingPoints, "mine") is None
    page = (tmp_path / "operating_points.md").read_text()
    assert page.startswith("# A title\n\n- So it is.\n")
    assert page.endswith("run: mine\n")
    assert (tmp_path / "operating_points.tex").read_text().count(r"\begin{tabular}") == 2
    frame = pd.read_csv(tmp_path / "operating_points.csv")
    assert frame["recall_low"].tolist()[:2] == [0.7, 0.7]
    assert frame["high"].isna().sum() == 2  # where dev does not reach the goal
    (tmp_path / "operating_points.json").write_text("[")
    with pytest.raises(Refused, match=r"Run python -m experiments.operating_points again, or delete it"):
        answers.read_answer(tmp_path, "operating_points", OperatingPoints, "mine")


def test_slices_have_a_file_for_each_column_whatever_it_is_called(tmp_path):
    found = results({"text": figure(0.7, 0.6, 0.8)})
    run = found.comparison.run
    by_field = {field: slices(run, field) for field in ("source", "who/says it?")}
    answers.write_slices(tmp_path, replace(found, by_field=by_field))
    names = {"slices_by_source", "slices_by_who_says_it_"}
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{end}" for name in names for end in ("csv", "json", "md", "tex")
    }
    assert [answer.field for answer in answers.sliced(tmp_path, run)] == ["source", "who/says it?"]
    assert answers.sliced(tmp_path, "another") == []


def test_a_disk_that_refuses_is_told_of(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="file cannot be written: "):
        answers.write(tmp_path / "file", "a", points(), pd.DataFrame(), [Table("", [""], [])], [])


def test_a_curve_alone_says_that_no_leaderboard_lies_beside_it(tmp_path):
    said, tables, others = answers.more_labels(curve(), tmp_path)
    assert said[-1].endswith("python -m experiments.leaderboard was not run beside it.")
    assert (len(tables), others) == (3, [])
