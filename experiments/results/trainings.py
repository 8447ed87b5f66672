"""Finished trainings, kept beside an answer that is in the making: a run that was stopped goes on where it stood."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from extract.files import replacing

FOLDER = ".kept"  # below the answer's own


def key(about: Any) -> str:
    """Name a training by all that decides its numbers, of what JSON can say."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def keep(folder: Path, name: str, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write what a training came to, whole or not at all. about: what JSON can say."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with replacing(folder / FOLDER / f"{name}.safetensors") as aside:
        whole = {part: np.ascontiguousarray(array) for part, array in arrays.items()}
        aside.write_bytes(save(whole, {"about": json.dumps(about), "order": json.dumps(list(arrays))}))


def kept(folder: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return what `keep` wrote, in its order; None where there is nothing sound: then it is trained again."""
    try:
        with safe_open(folder / FOLDER / f"{name}.safetensors", framework="np") as file:
            about, order = (json.loads(file.metadata()[name]) for name in ("about", "order"))
            return {part: file.get_tensor(part) for part in order}, about
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None


def forget(folder: Path, names: Sequence[str]) -> None:
    """Remove what is kept under other names than these."""
    for path in (folder / FOLDER).glob("*.safetensors"):
        if path.stem not in names:
            path.unlink()
