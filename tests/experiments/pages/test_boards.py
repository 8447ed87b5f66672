"""A leaderboard as a section of a report."""

import pytest

from experiments.pages import boards as board_pages
from experiments.pages import document
from extract.errors import Refused


def test_a_report_has_a_section_where_one_lies_beside_it(leaderboard_home, tmp_path):
    assert board_pages.section(tmp_path) is None
    (tmp_path / "leaderboard").symlink_to(leaderboard_home / "out")
    section = board_pages.section(tmp_path)
    document.publish(document.Page("A report", "of a test", [section], []), tmp_path, "report")
    page = (tmp_path / "report.md").read_text()
    assert "## Which encoders? features" in page
    for name in ("cost", "pairs"):
        assert f"(figures/leaderboard-{name}.svg)" in page
        assert (tmp_path / f"figures/leaderboard-{name}.svg").is_file()
    assert "Level with the best, cheapest first" in page
    (tmp_path / "leaderboard").unlink()
    (tmp_path / "leaderboard").mkdir()
    (tmp_path / "leaderboard/leaderboard.json").write_text("{}")
    with pytest.raises(Refused, match=r"leaderboard.json is not what this version writes"):
        board_pages.section(tmp_path)
