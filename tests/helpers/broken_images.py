"""Images whose bytes cannot be had. Light, for a child process imports it to know them."""

import os
from dataclasses import dataclass

from extract.errors import Failed


@dataclass(frozen=True)
class Broken:
    """Reading it ends in an error of the system."""

    number: int
    name: str = "1.png"
    suffix: str = ".png"

    def __str__(self) -> str:
        return "/memes/img/1.png"

    def read_bytes(self) -> bytes:
        raise OSError(self.number, os.strerror(self.number))


@dataclass(frozen=True)
class OutOfReach:
    """The place that holds it does not answer."""

    name: str = "1.png"
    suffix: str = ".png"

    def read_bytes(self) -> bytes:
        raise Failed("s3://memes cannot be reached")
