"""A leaderboard's folder: what is written comes back."""

import json

import pandas as pd
import pytest

from experiments.results import boards
from experiments.results.records import Across
from extract.errors import Refused


def test_a_board_comes_back(board, tmp_path):
    boards.write(tmp_path, board)
    assert boards.read_leaderboard(tmp_path) == board
    assert {path.name for path in tmp_path.iterdir()} == {f"leaderboard.{end}" for end in ("csv", "json", "md", "tex")}
    assert len(pd.read_csv(tmp_path / "leaderboard.csv")) == 2 * len(board.standings)
    assert board.run in (tmp_path / "leaderboard.tex").read_text()


def test_where_there_is_none_there_is_none_and_another_version_s_is_refused(board, tmp_path):
    assert boards.read_leaderboard(tmp_path) is None
    boards.write(tmp_path, board)
    held = json.loads((tmp_path / "leaderboard.json").read_text())
    del held["standings"]
    (tmp_path / "leaderboard.json").write_text(json.dumps(held))
    with pytest.raises(Refused, match=r"leaderboard.json is not what this version writes \(KeyError: 'standings'\)"):
        boards.read_leaderboard(tmp_path)


def test_a_ranking_over_datasets_keeps_every_digit(tmp_path):
    found = Across(["one", "two"], ["text: a", "text: b"], [[0.7, 0.123456789], [0.6, 0.5]], [1.5, 1.5], 0.2, 2.0, [])
    boards.write_across(tmp_path, found)
    frame = pd.read_csv(tmp_path / "across.csv")
    assert frame.columns.tolist() == ["name", "mean_rank", "one", "two"]
    assert frame["two"].tolist() == [0.123456789, 0.5]
    assert "| text: a | 1.50 | .700 | .123 |" in (tmp_path / "across.md").read_text()
    assert "text: a" in (tmp_path / "across.tex").read_text()
