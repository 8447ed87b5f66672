"""What a sweep chose: encoders and settings per head, read from its JSON.

    {"text_encoder": "...", "image_encoder": "...", "heads": {"early": {"hidden": 512, "dropout": 0.3}}, "notes": []}

Every key may be left out; settings not named keep their defaults. Notes are what the choice of encoders hides.
"""

import json
from collections.abc import Sequence
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
    notes: list[str]  # sentences that hold on the chosen encoders

    def cautions(self, text_encoder: str, image_encoder: str, heads: Sequence[str]) -> list[str]:
        """What must be said of these heads compared under this choice, on these encoders."""
        notes = self.notes if (text_encoder, image_encoder) == (self.text_encoder, self.image_encoder) else []
        tuned = [head for head in heads if head in self.heads]
        rest = [head for head in heads if head not in self.heads]
        if not tuned or not rest:
            return list(notes)
        return [
            *notes,
            f"Tuned by the sweep: {', '.join(tuned)}; with the shipped settings: {', '.join(rest)}. "
            "A difference between one of the former and one of the latter may be the tuning's.",
        ]


NOTHING = Choice(None, None, {}, [])


def read(path: Path) -> Choice:
    """Raises Refused, naming every fault, when the file cannot be meant."""
    from heads.models import HEADS
    from heads.settings import HeadSettings

    kinds = {field.name: type(field.default) for field in fields(HeadSettings) if field.name != "seed"}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        heads = {head: dict(settings) for head, settings in found.get("heads", {}).items()}
        faults = [f"unknown head {head}" for head in heads if head not in HEADS]
        given = [(head, key, value) for head, settings in heads.items() for key, value in settings.items()]
        faults += [f"{head}: unknown setting {key}" for head, key, _ in given if key not in kinds]
        faults += [
            f"{head}: {key} must be {kinds[key].__name__}, not {value!r}"
            for head, key, value in given
            if key in kinds and not isinstance(value, (int, float) if kinds[key] is float else kinds[key])
        ]
        if faults:
            raise Refused(f"{path} is not what a sweep writes:\n{listing(faults)}")
        notes = [str(note) for note in found.get("notes", [])]
        for settings in heads.values():
            settings |= {key: float(value) for key, value in settings.items() if kinds[key] is float}
            HeadSettings(**settings)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused(f"{path} is not what a sweep writes: {error}") from None
    return Choice(found.get("text_encoder"), found.get("image_encoder"), heads, notes)
