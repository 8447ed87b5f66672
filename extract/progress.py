"""What a running command says, on stderr: lines, and bars on anything that takes longer than a blink."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def bar(items: Iterable[Any] | None, label: str, total: int, unit: str, quiet: bool) -> Any:
    """A tqdm bar: rows, rows a second, time left. A run that is over in half a second shows none."""
    return tqdm(items, desc=label, total=total, unit=f" {unit}", disable=quiet, mininterval=0.5, delay=0.5)
