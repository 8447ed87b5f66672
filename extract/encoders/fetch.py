"""One file over HTTP: asked for with a deadline, checked, put in place by rename."""

import hashlib
import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from extract.errors import Refused
from extract.files import replacing

ANSWER_SECONDS = 3.0  # that a server has for a first small answer
SECONDS = 15  # without an answer before a download is given up


class Unreachable(Exception):
    """A server did not answer, or not to the end; the text says why."""


def fetch_url(url: str, target: Path, sha256_prefix: str) -> None:
    """Download one file by rename, if its digest begins as it must.

    Raises Unreachable if the server does not answer, Refused if it sends another file or this disk takes none.
    """
    must_answer(url, lambda seconds: _head(url, seconds))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer, part.open("wb") as file:
                _copy(answer, file, target.name)
            digest = sha256(part)
            if not digest.startswith(sha256_prefix):
                raise Refused(f"{url}: expected a sha256 that begins with {sha256_prefix}, found {digest}")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise Unreachable(f"{url}: {in_words(error)}") from None
    except OSError as error:
        raise Refused(f"cannot write {target}: {error}") from None


def must_answer(server: str, ask: Callable[[float], object]) -> None:
    """Send one small request. Raises Unreachable if it fails or takes longer than ANSWER_SECONDS.

    ask: sends the request; takes the seconds that it may wait.
    The deadline is our own: clients retry, and a name server that is out of reach can take half a minute to fail.
    """
    fault = [f"no answer in {ANSWER_SECONDS:.0f} seconds"]

    def asking() -> None:
        try:
            ask(ANSWER_SECONDS)
            fault[0] = ""
        except urllib.error.HTTPError:
            fault[0] = ""  # it answers; what it says is for the download to report
        except Exception as error:  # HTTP clients have errors of their own
            fault[0] = in_words(error)

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if fault[0]:
        raise Unreachable(f"{server}: {fault[0]}")


def in_words(error: Exception) -> str:
    """One line that says what kind of error, and what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def sha256(path: Path) -> str:
    """A file's digest, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _head(url: str, seconds: float) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
        pass


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], label: str) -> None:
    from tqdm import tqdm

    total = int(answer.headers.get("Content-Length") or 0) or None
    with tqdm(desc=label, total=total, unit="B", unit_scale=True) as bar:
        while block := answer.read(1 << 20):
            file.write(block)
            bar.update(len(block))
