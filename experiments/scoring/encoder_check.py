"""Find the encoder of a trained head on this disk, and prove that it is the same one."""

from collections.abc import Mapping
from typing import Any

from experiments.results.models import KeptEncoder
from extract import images, store
from extract.encoders import catalogue, image_encoders, text_encoders
from extract.encoders.catalogue import Located
from extract.errors import Refused, listing

REQUIRED = {"text": {"weights", "pooling", "precision", "max_tokens"}, "image": {"weights", "pooling", "precision"}}


def locate(kept: KeptEncoder, asked: str | None, device: str) -> Located:
    """The encoder named by the head, or the one asked for; downloaded if need be.

    Raises Refused, with both values of all that differs, unless its vectors are those that the head was trained on.
    """
    if absent := REQUIRED[kept.kind] - kept.settings.keys():
        raise Refused(
            f"{kept.name}'s vectors were not made by extract: it is not known what {', '.join(sorted(absent))} was"
        )
    if kept.settings["precision"] == "float16" and device == "cpu":
        raise Refused(f"{kept.name}'s vectors were made in float16, which needs a GPU: none is used here (--device)")
    located = catalogue.locate(kept.kind, asked or name(kept))
    refuse_other(kept, located, settings(kept, located))
    return located


def name(kept: KeptEncoder) -> str:
    """What the catalogue calls an encoder, from its features' folder. Raises Refused if it was read from a folder."""
    pooling = kept.settings["pooling"]
    suffix = "" if pooling in ("cls", "pooled") else pooling
    base = kept.name.removesuffix(f"-{suffix}") if suffix else kept.name
    if base not in catalogue.KNOWN:
        if base.endswith(kept.settings["weights"][:8]) or "--" not in base:
            raise Refused(f"{kept.name} was read from a folder: name it with --{kept.kind}-encoder FOLDER")
        base = base.replace("--", "/", 1)
    return f"{base}:{suffix}" if suffix else base


def settings(kept: KeptEncoder, located: Located) -> dict[str, Any]:
    """All that changes a number of the encoder found here, in the precision and length of the head's."""
    precision = kept.settings["precision"]
    if kept.kind == "text":
        return dict(text_encoders.settings(located, dtype=precision, max_tokens=kept.settings["max_tokens"]))
    return image_encoders.settings(located, dtype=precision) | {"transform": images.TRANSFORM}


def refuse_other(kept: KeptEncoder, located: Located, here: Mapping[str, Any]) -> None:
    fingerprint = store.fingerprint(dict(here))
    if fingerprint == kept.fingerprint:
        return
    differ = [key for key in sorted({*kept.settings, *here}) if kept.settings.get(key) != here.get(key)]
    pairs = [("encoder", kept.name, located.slug)]
    pairs += [(key, kept.settings.get(key, "none"), here.get(key, "none")) for key in differ]
    pairs += [("fingerprint", kept.fingerprint, fingerprint)]
    lines = [f"{key}: trained on {theirs}, here {ours}" for key, theirs, ours in pairs if theirs != ours]
    raise Refused(
        f"this {kept.kind} encoder ({located.source}) does not make the vectors that the heads were trained on:\n"
        f"{listing(lines)}\n"
        f"Name the right one with --{kept.kind}-encoder, or extract with this one and run experiments.compare again."
    )
