"""What a user can cause and mend: an exception whose text is the whole message, and the exit status it stands for."""

import atexit
import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h


class Failed(Exception):
    """The run began and could not be finished. Exit status 1; what was finished is kept."""

    status = 1


class Refused(Failed):
    """The request was refused before any work. Exit status 2."""

    status = 2


def run(main: Callable[[], int | None], goes_on: bool = False) -> int:
    """Call a command's `main`; turn what a user can cause into a message on stderr and an exit status.

    goes_on: the command keeps what it has finished, and takes it up again.

    Also tells GNU's OpenMP, which is read in with torch, to spin only briefly before a waiting thread sleeps: where
    cores are shared, with our own decode threads or with other programs, threads that spin take the time of those that
    work. Sleeping at once costs a quiet machine a fifth of its speed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    _keep_pages()
    try:
        return main() or 0
    except Failed as error:
        print("\n".join(printable(line) for line in f"error: {error}".split("\n")), file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return Failed.status
    except KeyboardInterrupt:
        kept = ": what is finished is kept, and the same command goes on from there" if goes_on else ""
        print(f"interrupted{kept}", file=sys.stderr)
        return 130


def leave(status: int) -> NoReturn:
    """End the process with this exit status, as a command's last act.

    What was to run at exit has run, and what was printed is out. The libraries are not taken down one by one: torch's
    alone take half a second of a command that takes five.
    """
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        status = status or Failed.status
    os._exit(status)


def told(error: OSError) -> str:
    """What the system refused, and where: "data/img/1.png: Permission denied"."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def in_a_line(error: Exception) -> str:
    """All that an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def need(packages: Sequence[str], who: str, extra: str) -> None:
    """Raise Refused, naming the way out, unless these packages are installed.

    who: what takes them, with its verb, as "pages need". extra: of memefuse, which brings them.
    """
    if told := not_installed(packages, extra):
        raise Refused(f"{who} {told}")


def not_installed(packages: Sequence[str], extra: str) -> str:
    """Those of the packages that are missing, and how to get them; empty where all are there."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)}, not installed here. Run: pip install 'memefuse[{extra}]'" if missing else ""


def _keep_pages() -> None:
    """Let glibc use freed memory again instead of giving it back to the kernel after every batch.

    Each image and batch is megabytes that come and go; fresh pages for all of them cost extraction a twentieth. One
    arena for all threads keeps them once, not once a thread.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 512 << 20)
        libc.mallopt(M_ARENA_MAX, 1)


def listing(items: Sequence[str], shown: int = 20) -> str:
    """The first `shown` items, one to an indented line, and how many more there are."""
    lines = [f"  {printable(item)}" for item in items[:shown]]
    if len(items) > shown:
        lines.append(f"  ... and {len(items) - shown:,} more")
    return "\n".join(lines)


def named(names: Sequence[str], shown: int = 5) -> str:
    """The first `shown` names in one line, and how many more there are."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return printable(", ".join(names[:shown])) + more


def printable(text: str) -> str:
    """One line, in which a terminal obeys nothing: what cannot be seen stands as Python writes it, as in \\x1b."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
