"""What Ray's exceptions say, in a line: which machine, and why. Their own text is a page of Ray's frames."""

import re

from extract.errors import Failed

COLOUR = re.compile(r"\x1b\[\d*m")
MACHINE = re.compile(r"\bip[=:] ?([\w.:]+)")
REASON = re.compile(r"^[\w.]+(?:Error|Exception)\b.*$", re.MULTILINE)  # a traceback's last, unindented


def in_words(error: Exception) -> str:
    """The machine, if Ray tells, and the reason: what was raised there, else what Ray says first."""
    told = COLOUR.sub("", str(error)).strip() or type(error).__name__
    machine = MACHINE.search(told)
    raised = REASON.findall(told)
    reason = raised[-1] if raised else told.splitlines()[0]
    return f"machine {machine[1]} of the cluster: {reason}" if machine else reason


def stopped(what: str, error: Exception) -> Failed:
    """For what was raised on a machine and would be raised again: no package there, another version, a sick GPU."""
    return Failed(
        f"{what}: {in_words(error)}\nFinished parts are kept. Mend that machine, or leave it out, and run the same "
        "command again; every machine needs the driver's versions of memefuse and its libraries."
    )
