"""A leaderboard's folder: leaderboard.md, .csv, .tex, and .json."""

from pathlib import Path

from experiments import tables
from experiments.results.records import Across, Leaderboard, read_record, to_json
from extract.files import write_text

NAME = "leaderboard"


def write(folder: Path, board: Leaderboard) -> None:
    """Write leaderboard.md, .csv, .tex, and last .json."""
    for ending, text in (
        ("md", tables.leaderboard_markdown(board)),
        ("csv", tables.leaderboard_csv(board)),
        ("tex", tables.leaderboard_latex(board)),
    ):
        write_text(folder / f"{NAME}.{ending}", text)
    write_text(folder / f"{NAME}.json", to_json(board))


def write_across(folder: Path, across: Across) -> None:
    write_text(folder / "across.md", tables.across_markdown(across))
    write_text(folder / "across.csv", tables.across_csv(across))
    write_text(folder / "across.tex", tables.across_latex(across))
    write_text(folder / "across.json", to_json(across))


def read(folder: Path) -> Leaderboard | None:
    """Read what `write` wrote; None where there is none. Raises Refused for what another version wrote."""
    return read_record(folder / f"{NAME}.json", Leaderboard, "experiments.leaderboard")
