"""A leaderboard's folder: leaderboard.md, .csv, .tex, .json and drawings.

In KEPT lies what every head on its encoders has come to, so that a run that was stopped goes on where it stood.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise

from experiments import tables
from experiments.data import digest
from experiments.results.records import Across, Leaderboard, code_version, versions, without_nan
from experiments.search.trials import Task
from experiments.training import Trained
from extract.errors import Refused
from extract.files import replacing, write_text
from heads.settings import HeadSettings

NAME = "leaderboard"
KEPT = ".kept"  # logits and thresholds of every head and its encoders


def key(task: Task, runs: Sequence[HeadSettings], device: str) -> str:
    """Name all that decides what a task comes to: encoders, memes, settings, seeds, device and versions."""
    about: list[Any] = [task.head, task.features, digest(task.data.splits), device, code_version(), versions()]
    return hashlib.sha256(json.dumps([*about, [asdict(run) for run in runs]]).encode()).hexdigest()[:32]


def keep(folder: Path, name: str, trained: Trained) -> None:
    """Write what scoring needs of a head, whole or not at all."""
    parts = {f"logit.{split}": logit.contiguous() for split, logit in trained.logit.items()}
    parts |= {"threshold": trained.threshold, "temperature": trained.temperature}
    about = {"seconds": trained.seconds, "best_epoch": trained.best_epoch, "settings": trained.settings}
    (folder / KEPT).mkdir(parents=True, exist_ok=True)
    with replacing(folder / KEPT / f"{name}.safetensors") as aside:
        aside.write_bytes(serialise(parts, {"about": json.dumps(about)}))


def kept(folder: Path, name: str, head: str) -> Trained | None:
    """Read what `keep` wrote; None where there is nothing, or nothing sound."""
    try:
        with safe_open(folder / KEPT / f"{name}.safetensors", framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            parts = {part: file.get_tensor(part) for part in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    logit = {part.removeprefix("logit."): value for part, value in parts.items() if part.startswith("logit.")}
    return Trained(
        head, "head", about["settings"], about["best_epoch"], logit, parts["threshold"], parts["temperature"],
        about["seconds"], None,
    )  # fmt: skip


def forget(folder: Path, names: Sequence[str]) -> None:
    """Remove what is kept of other runs than these."""
    for path in (folder / KEPT).glob("*.safetensors"):
        if path.stem not in names:
            path.unlink()


def write(folder: Path, board: Leaderboard) -> None:
    """Write leaderboard.md, .csv, .tex, the drawings where matplotlib is installed, and last .json."""
    for ending, text in (
        ("md", tables.leaderboard_markdown(board)),
        ("csv", tables.leaderboard_csv(board)),
        ("tex", tables.leaderboard_latex(board)),
    ):
        write_text(folder / f"{NAME}.{ending}", text)
    try:
        from experiments.pages import boards as drawings
    except ModuleNotFoundError as missing:
        if missing.name != "matplotlib":
            raise
    else:
        for panel in drawings.panels(board):
            write_text(folder / f"{panel.name}.svg", panel.standalone)
    write_text(folder / f"{NAME}.json", board.to_json())


def write_across(folder: Path, across: Across) -> None:
    write_text(folder / "across.md", tables.across_markdown(across))
    write_text(folder / "across.csv", tables.across_csv(across))
    write_text(folder / "across.tex", tables.across_latex(across))
    write_text(folder / "across.json", json.dumps(without_nan(asdict(across)), indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> Leaderboard | None:
    """Read what `write` wrote; None where there is none. Raises Refused for what another version wrote."""
    path = folder / f"{NAME}.json"
    if not path.is_file():
        return None
    try:
        return Leaderboard.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"{path} is not what this version writes ({error}). Run: python -m experiments.leaderboard"
        ) from None
