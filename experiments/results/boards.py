"""A leaderboard's folder: leaderboard.md, .csv, .tex, and .json."""

from pathlib import Path

from experiments.results import frames
from experiments.results.records import Across, Leaderboard, read_record, write_record
from experiments.tables import latex_page
from experiments.words import boards as tables

NAME = "leaderboard"


def write(folder: Path, board: Leaderboard) -> None:
    """Write leaderboard.md, .csv, .tex, and last .json."""
    table = tables.leaderboard_table(board, f"Heads and encoders on {board.dataset}, by {board.dev}.")
    write_record(
        folder,
        NAME,
        board,
        md=tables.leaderboard_markdown(board),
        csv=frames.csv(frames.leaderboard(board)),
        tex=latex_page([table], board.run),
    )


def write_across(folder: Path, across: Across) -> None:
    tex = latex_page([tables.across_table(across, "AUC-ROC and mean rank over datasets.")])
    csv = frames.csv(frames.across(across), float_format=None)
    write_record(folder, "across", across, md=tables.across_markdown(across), csv=csv, tex=tex)


def read_leaderboard(folder: Path) -> Leaderboard | None:
    """Read what `write` wrote; None where there is none. Raises Refused for what another version wrote."""
    return read_record(folder / f"{NAME}.json", Leaderboard, "experiments.leaderboard")
