"""How long an encoder took, and on what: a file beside its vectors, which are the same however long they took."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

from extract import places
from extract.files import replacing
from extract.places import Place

SPEED = "speed.json"


@dataclass(frozen=True)
class Speed:
    """What the run measured that encoded the most contents."""

    seconds: float  # wall time of reading, decoding and encoding; loading the encoder is left out
    contents: int  # different texts or images
    device: str  # "cpu" or "cuda"
    dtype: str  # of the encoder's arithmetic
    machine: str  # the processor's or the GPU's name

    @property
    def each(self) -> float:
        """Seconds a content."""
        return self.seconds / self.contents


def read_speed(folder: Place) -> Speed | None:
    """Of an encoder's folder; None where it was not measured, or the file is not what `record_speed` writes."""
    for path in places.glob(folder, SPEED):
        with suppress(OSError, ValueError, TypeError):
            return Speed(**json.loads(places.local(path).read_text(encoding="utf-8")))
    return None


def record_speed(folder: Place, speed: Speed) -> None:
    """Keep it, unless a run that encoded more has been measured. Raises OSError where it cannot be written."""
    before = read_speed(folder)
    if speed.contents > 0 and (before is None or before.contents <= speed.contents):
        with replacing(folder / SPEED) as aside:
            aside.write_text(json.dumps(asdict(speed), indent=1) + "\n", encoding="utf-8")
