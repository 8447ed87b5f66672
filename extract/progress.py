"""What a running command says, on stderr: lines, and bars on anything that takes longer than a blink."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

from extract.errors import printable

SILENT = ContextVar("silent", default=False)


@contextmanager
def silent() -> Iterator[None]:
    """Within, nothing is said: for callers from Python."""
    before = SILENT.set(True)
    try:
        yield
    finally:
        SILENT.reset(before)


def say(line: str) -> None:
    if not SILENT.get():
        print(printable(line), file=sys.stderr, flush=True)


def bar(items: Iterable[Any] | None, label: str, total: int | None, unit: str, quiet: bool, scale: bool = False) -> Any:
    """A tqdm bar: rows, rows a second, time left. A run that is over in half a second shows none.

    scale: in thousands and millions of the unit.
    """
    how: dict[str, Any] = {"disable": quiet or SILENT.get(), "unit_scale": scale, "mininterval": 0.5, "delay": 0.5}
    return tqdm(items, desc=label, total=total, unit=f" {unit}", **how)
