"""Vectors of contents that were scored before, on this disk: one SQLite file for each encoder's fingerprint.

SQLite makes it safe to be killed while writing, and to be used by several processes at once. A cache that is out of
order costs time, never an answer.
"""

import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from extract.files import cache_root

BYTES = 1_000_000_000  # of vectors that one file keeps; the oldest go first
WAIT = 30.0  # seconds that another process may take to write
AT_ONCE = 500  # contents in a query
TABLE = "CREATE TABLE IF NOT EXISTS vector (row INTEGER PRIMARY KEY, content TEXT UNIQUE, value BLOB)"

Answer = TypeVar("Answer")


def default_folder() -> Path:
    """In memefuse's own cache: $MEMEFUSE_CACHE, else memefuse/ in the user's cache folder."""
    return cache_root() / "vectors"


class VectorCache:
    """content (sha256 in hex) -> vector, for one fingerprint."""

    def __init__(self, folder: Path, fingerprint: str, dim: int, limit: int = BYTES) -> None:
        self.path = folder / f"{fingerprint[:32]}.sqlite"
        self.dim = dim
        self.rows = max(1, limit // (4 * dim))  # that are kept
        self._usable = True

    def get(self, contents: Sequence[str]) -> dict[str, Float[np.ndarray, " dim"]]:
        """The vectors that it holds; contents that it does not hold are left out."""

        def read(database: sqlite3.Connection) -> dict[str, np.ndarray]:
            vectors = {}
            for start in range(0, len(contents), AT_ONCE):
                some = contents[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                for content, value in database.execute(
                    f"SELECT content, value FROM vector WHERE content IN ({marks})", some
                ):
                    vectors[content] = np.frombuffer(value, "<f4")
            return {content: vector for content, vector in vectors.items() if len(vector) == self.dim}

        return self._use(read, {}) if self.path.exists() else {}

    def put(self, vectors: Mapping[str, Float[np.ndarray, " dim"]]) -> None:
        """Keep vectors, all of them or none."""
        rows = [(content, np.ascontiguousarray(vector, "<f4").tobytes()) for content, vector in vectors.items()]

        def write(database: sqlite3.Connection) -> None:
            database.executemany("INSERT OR REPLACE INTO vector (content, value) VALUES (?, ?)", rows)
            database.execute("DELETE FROM vector WHERE row <= (SELECT max(row) FROM vector) - ?", [self.rows])

        self._use(write, None)

    def _use(self, work: Callable[[sqlite3.Connection], Answer], otherwise: Answer) -> Answer:
        """One connection for one transaction, so that threads share none. What cannot be done is said once."""
        if not self._usable:
            return otherwise
        try:
            # vectors can be as confidential as the memes
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT)) as database, database:
                database.execute(TABLE)
                return work(database)
        except (sqlite3.Error, OSError) as error:
            self._usable = False
            print(f"note: {self.path} cannot be used ({error}): vectors are not kept", file=sys.stderr)
            return otherwise
