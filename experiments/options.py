"""Options that several commands take. Imports nothing heavy: --help answers at once."""

import argparse
from collections.abc import Sequence

DEFAULT_HEADS = "text,image,early,late"  # what is compared unless others are named
BALANCES = ("none", "pos_weight", "undersample")


def parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser for `python -m experiments.<command>`. examples: lines of commands, one to a line."""
    return argparse.ArgumentParser(
        prog=f"python -m experiments.{command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def head_names(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Return names in the table's order, each once: of "text,early", of a list of names, or "all".

    Raises Refused for a name that no head has.
    """
    from extract.errors import Refused
    from heads.models import HEADS  # late: it needs torch

    words = asked.split(",") if isinstance(asked, str) else asked
    names = [word.strip() for word in words if word.strip()]
    if names == ["all"]:
        return tuple(HEADS)
    unknown = [name for name in names if name not in HEADS]
    if unknown or not names:
        raise Refused(f"--heads: unknown head {', '.join(unknown)}; there are {', '.join(HEADS)}")
    return tuple(name for name in HEADS if name in names)


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seeds: at least 1")
    return int(text)
