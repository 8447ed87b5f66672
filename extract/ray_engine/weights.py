"""The weights that the driver chose, on the machine that is to encode with them."""

import platform
from typing import Any

from extract.encoders import catalogue, image_encoders, text_encoders
from extract.encoders.fetch import sha256
from extract.encoders.weights import Incomplete, combine, digest, files
from extract.errors import Refused


def here(located: catalogue.Located) -> catalogue.Located:
    """The same weights on this machine: at the driver's path if that is shared, else by name, as any user finds them.

    Raises Refused, naming this machine, if they cannot be had here or are others than the driver's.
    """
    if _digest(located) == located.weights:
        return located
    pooling = f":{located.pooling}" if located.kind == "text" else ""
    try:
        found = catalogue.locate(located.kind, located.name + pooling)
    except Refused as refusal:
        raise Refused(f"machine {platform.node()} of the cluster: {refusal}") from None
    if found.weights != located.weights:
        raise Refused(
            f"machine {platform.node()} of the cluster has other weights of {located.name} than the driver:\n"
            f"  {found.path}: sha256 {found.weights[:8]}, the driver's {located.path}: {located.weights[:8]}.\n"
            "Put the same there, or share the folder."
        )
    return found


def _digest(located: catalogue.Located) -> str:
    """What lies at the driver's path on this machine; empty if that is no such encoder."""
    try:
        if located.path.is_file():
            return combine({located.path.name: sha256(located.path)})
        return digest(files(located.kind, located.path))
    except (Incomplete, OSError):
        return ""


def load(located: catalogue.Located, *, device: str, dtype: str, max_tokens: int, compile: bool) -> Any:
    """The encoder itself, its weights found and their digest checked on this machine."""
    located = here(located)
    if located.kind == "image":
        return image_encoders.load(located, device=device, dtype=dtype, compile=compile)
    return text_encoders.load(located, device=device, dtype=dtype, max_tokens=max_tokens, compile=compile)
