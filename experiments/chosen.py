"""What a sweep chose: encoders and settings per head, read from its JSON.

    {"text_encoder": "...", "image_encoder": "...", "heads": {"early": {"hidden": 512, "dropout": 0.3}}}

Every key may be left out; settings not named keep their defaults.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from extract.errors import Refused, listing


@dataclass(frozen=True)
class Choice:
    """Encoders (None: not chosen) and settings that differ from the defaults, by head."""

    text_encoder: str | None
    image_encoder: str | None
    heads: dict[str, dict[str, Any]]


NOTHING = Choice(None, None, {})


def read(path: Path) -> Choice:
    """Raises Refused, naming every fault, when the file cannot be meant."""
    from heads.models import HEADS
    from heads.settings import HeadSettings

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        heads = dict(found.get("heads", {}))
        known = {field.name for field in fields(HeadSettings)} - {"seed"}
        faults = [f"unknown head {head}" for head in heads if head not in HEADS]
        faults += [f"{head}: unknown setting {key}" for head in heads for key in heads[head] if key not in known]
        for head, settings in heads.items():
            if not faults:
                HeadSettings(**settings)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused(f"{path} is not what a sweep writes: {error}") from None
    if faults:
        raise Refused(f"{path} is not what a sweep writes:\n{listing(faults)}")
    return Choice(found.get("text_encoder"), found.get("image_encoder"), heads)
