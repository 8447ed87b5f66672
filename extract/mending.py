"""What a person must mend before a run can end: the first of it in the message, all of it in a file beside the vectors,
so that five hundred bad images take one round of mending."""

from collections.abc import Sequence
from contextlib import suppress

from extract import errors
from extract.places import Place

FILE = "to_mend.txt"
SHOWN = 20  # lines in a message


def listing(items: Sequence[str], features: Place) -> str:
    """The first lines, and where all of them are if there are more; a folder that takes no file gets none."""
    lines = errors.listing(items, SHOWN)
    clear(features)
    if len(items) > SHOWN:
        with suppress(OSError, errors.Failed):
            features.mkdir(parents=True, exist_ok=True)
            (features / FILE).write_bytes("".join(f"{item}\n" for item in items).encode(errors="replace"))
            lines += f"\n  all {len(items):,} are listed in {features / FILE}"
    return lines


def clear(features: Place) -> None:
    """Once nothing is left to mend."""
    with suppress(OSError, errors.Failed):
        (features / FILE).unlink(missing_ok=True)
