"""Where files lie: on this machine (`Path`), or elsewhere (`Remote`)."""

import threading
from pathlib import Path

from extract.errors import Failed, Refused
from extract.remote import Remote
from extract.remote import Unreachable as Unreachable

PATIENCE = 20.0  # seconds for a first answer

Place = Path | Remote


def place(text: str) -> Place:
    """A command line's argument: a path, or a URL. file:// is a path."""
    protocol, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    return Path(f"/{rest.lstrip('/')}") if protocol in ("file", "local") else Remote(f"{protocol}://{rest.strip('/')}")


def glob(folder: Place, pattern: str) -> list[Place]:
    """What matches, name by name, in order."""
    found: list[Place] = [*folder.glob(pattern)]
    return sorted(found, key=str)


def local(path: Place) -> Path:
    """The file on this machine. Raises FileNotFoundError, Unreachable."""
    return path.fetched() if isinstance(path, Remote) else path


def name(folder: Place) -> str:
    """What a person calls it, also when it is given as "."."""
    return folder.name if isinstance(folder, Remote) else folder.resolve().name


def modified(path: Place) -> float:
    """When a file was written, in seconds since 1970."""
    return path.modified() if isinstance(path, Remote) else path.stat().st_mtime


def refuse_unreachable(path: Place) -> None:
    """Raise Refused for a place elsewhere that does not answer, before any work."""
    if isinstance(path, Remote):
        failed: list[Failed] = []
        asking = threading.Thread(target=_ask, args=(path, failed), daemon=True)
        asking.start()
        asking.join(PATIENCE)
        if asking.is_alive():
            raise Refused(f"{path}: no answer within {PATIENCE:.0f} s; check the address, and AWS_ENDPOINT_URL")
        if failed:
            raise Refused(str(failed[0]))


def _ask(path: Remote, failed: list[Failed]) -> None:
    try:
        path.is_dir()
    except Failed as error:
        failed.append(error)
