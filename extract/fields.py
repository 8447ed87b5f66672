"""The fields of a manifest's row, checked one by one. What is wrong is a ValueError whose text is the whole reason."""

import json
from typing import Any

Row = dict[str, Any]


def identity(row: Row) -> str:
    name = row.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError(f"id is {shown(name)}, expected text or a whole number" if "id" in row else "no id")
    name = mended(str(name))
    if not name or "\0" in name:
        raise ValueError("id is empty" if not name else "id holds a NUL character")
    return name


def text(row: Row) -> str:
    found = row.get("text")
    if not isinstance(found, str):
        raise ValueError(f"text is {shown(found)}, expected text (may be empty)" if "text" in row else "no text")
    return mended(found)


def label(row: Row) -> int | None:
    if "label" not in row:
        return None
    found = row["label"]
    if type(found) is not int or found not in (0, 1):
        raise ValueError(f"label is {shown(found)}, expected 0 or 1 (no label at all if it is unknown)")
    return found


def image_name(row: Row) -> str:
    name = row.get("img")
    if not isinstance(name, str) or not name.strip("/") or "\0" in name:
        raise ValueError(f"img is {shown(name)}, expected a path" if "img" in row else "no img")
    return name


def shown(value: object) -> str:
    return json.dumps(value, default=str)[:40]


def mended(text: str) -> str:
    """Half surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
