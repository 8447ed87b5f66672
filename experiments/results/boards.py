"""A leaderboard's folder: leaderboard.md, .csv, .tex, .json, drawings, and what every head on its encoders came to."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from experiments.data import digest
from experiments.results import frames, trainings
from experiments.results.records import Across, Leaderboard, code_version, read_record, versions, write_record
from experiments.search.trials import Task
from experiments.tables import latex_page
from experiments.training import Trained
from experiments.words import boards as tables
from extract.files import write_text
from heads.settings import HeadSettings

NAME = "leaderboard"


def key(task: Task, runs: Sequence[HeadSettings], device: str) -> str:
    """Name all that decides what a task comes to: encoders, memes, settings, seeds, device and versions."""
    about: list[Any] = [task.head, task.features, digest(task.data.splits), device, code_version(), versions()]
    return trainings.key([*about, [asdict(run) for run in runs]])


def keep(folder: Path, name: str, trained: Trained) -> None:
    """Write what scoring needs of a head."""
    arrays = {f"logit.{split}": logit.numpy() for split, logit in trained.logit.items()}
    arrays |= {"threshold": trained.threshold.numpy(), "temperature": trained.temperature.numpy()}
    about = {"seconds": trained.seconds, "best_epoch": trained.best_epoch, "settings": trained.settings}
    trainings.keep(folder, name, arrays, about)


def kept(folder: Path, name: str, head: str) -> Trained | None:
    """Read what `keep` wrote; None where there is nothing, or nothing sound."""
    if (found := trainings.kept(folder, name)) is None:
        return None
    parts, about = {part: torch.from_numpy(array) for part, array in found[0].items()}, found[1]
    logit = {part.removeprefix("logit."): value for part, value in parts.items() if part.startswith("logit.")}
    return Trained(
        head, "head", about["settings"], about["best_epoch"], logit, parts["threshold"], parts["temperature"],
        about["seconds"], None,
    )  # fmt: skip


def write(folder: Path, board: Leaderboard) -> None:
    """Write leaderboard.md, .csv, .tex, the drawings where matplotlib is installed, and last .json."""
    if find_spec("matplotlib"):
        from experiments.pages import boards as drawings

        for panel in drawings.panels(board):
            write_text(folder / f"{panel.name}.svg", panel.standalone)
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


def read(folder: Path) -> Leaderboard | None:
    """Read what `write` wrote; None where there is none. Raises Refused for what another version wrote."""
    return read_record(folder / f"{NAME}.json", Leaderboard, "experiments.leaderboard")
