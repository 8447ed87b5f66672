"""Which two encoders a system runs with, where they are, and stage 1's vectors of those that are frozen."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.systems.build import Side, reads_vectors
from experiments.systems.published import FASTTEXT, STAND_INS, System
from extract import store
from extract.encoders import catalogue
from extract.encoders.text import position_limit
from extract.errors import Failed, Refused
from extract.places import Place

KINDS = ("text", "image")


@dataclass(frozen=True)
class Wanted:
    """What a user wants of the encoders."""

    names: dict[str, str | None]  # by kind: another encoder than the published one
    stand_in: bool  # take STAND_INS for all that are published and no FASTTEXT
    train: tuple[str, ...]  # encoders that train


def choose(system: System, wanted: Wanted, command: Sequence[str]) -> tuple[Side, Side]:
    """Text and image, located on this disk; nothing is loaded.

    command: what the user typed, for the way out. Raises Refused when an encoder cannot train in this system, or cannot
    be had: both together, with a command that runs.
    """
    impossible = [kind for kind in wanted.train if kind not in system.may_train]
    if impossible:
        able = f"--train {','.join(system.may_train)}" if system.may_train else "--train none"
        raise Refused(f"{system.name} cannot train its {' and '.join(impossible)} encoder; it takes {able} or none")
    names = {kind: named(kind, its, wanted) for kind, its in zip(KINDS, (system.text, system.image), strict=True)}
    refuse_unfit(system, names, wanted.train)
    sides, refusals = [], []
    for kind, published in zip(KINDS, (system.text, system.image), strict=True):
        name = names[kind]
        try:
            located = None if (kind, name) == ("text", FASTTEXT) else catalogue.locate(kind, name)
        except Refused as refusal:
            refusals.append((kind, name, str(refusal)))
            continue
        sides.append(Side(kind, name, kind in wanted.train, located, stand_in=other(kind, name, published)))
    if refusals:
        raise Refused(way_out(refusals, command))
    if system.design == "transformer" and sides[0].located is not None:
        from experiments.systems.multimodal_transformer import refuse_other  # late: it needs torch

        refuse_other(sides[0].located)
    return sides[0], sides[1]


def named(kind: str, published: str, wanted: Wanted) -> str:
    """The encoder to take. One that stands in for a grid gives a grid, too."""
    name = wanted.names[kind] or published
    if wanted.stand_in and not wanted.names[kind] and published != FASTTEXT:
        name = STAND_INS[kind]
    if published.endswith(":grid") and not name.endswith(":grid"):
        name += ":grid"
    return name


def refuse_unfit(system: System, names: Mapping[str, str], train: Sequence[str]) -> None:
    """Raise Refused for an encoder whose vectors this system cannot read, or that cannot train as it is asked to."""
    text, image = names["text"], names["image"]
    if image.endswith(":grid") and not system.image.endswith(":grid"):
        raise Refused(
            f"{system.name} reads one vector an image, and {image} gives a grid of them: name it without :grid"
        )
    if text == FASTTEXT and ("text" in train or system.design == "transformer"):
        wants = "trains its text encoder" if "text" in train else "reads words with its text encoder"
        raise Refused(f"{system.name} {wants}, and fastText gives vectors of whole texts: name another --text-encoder")


def other(kind: str, name: str, published: str) -> bool:
    """Whether `name` is not the published encoder: not its name, one of its repositories or a folder so called."""
    (mine, pooling), (theirs, their_pooling) = (pooled(kind, each) for each in (name, published))
    known = catalogue.KNOWN.get(theirs)
    same = {theirs, *(known.repositories if known else ())}
    return pooling != their_pooling or not (mine in same or Path(mine).expanduser().name == theirs)


def pooled(kind: str, name: str) -> tuple[str, str]:
    """An encoder's name without its pooling, and its pooling."""
    base, colon, pooling = name.rpartition(":")
    plain = not colon or pooling not in catalogue.poolings(kind)
    return (name, catalogue.poolings(kind)[0]) if plain else (base, pooling)


def way_out(refusals: Sequence[tuple[str, str, str]], command: Sequence[str]) -> str:
    """refusals: kind, encoder and why it cannot be had."""
    reasons = "\n".join(message.splitlines()[0] for _, _, message in refusals)
    if any(pooled(kind, name)[0] == STAND_INS[kind] for kind, name, _ in refusals):
        return f"{reasons}\nNo other stand-in is left. `python -m extract` names the ways to put its weights here."
    options = [word for kind, _, _ in refusals for word in (f"--{kind}-encoder", STAND_INS[kind])]
    again = shlex.join(["python", "-m", "experiments.systems", *command, *options])
    return (
        f"{reasons}\nTo run it with stand-ins that need no hub (every table will say so):\n  {again}\n"
        "To run it as published, put the weights where `python -m extract --text-encoder ... --image-encoder ...` "
        "finds them; it names the ways."
    )


def extract(
    sides: Sequence[Side], data: Place, features: Place, device: str, dtype: str, on_error: str, max_tokens: int
) -> None:
    """Have stage 1 make the vectors of every frozen encoder that it knows; what is there already is not made again.

    dtype: "auto" takes the precision of vectors that are there. So are their texts cut as they are, and not to
    `max_tokens`: a folder that a user has made is read and not made anew.
    """
    frozen = [side for side in sides if side.located is not None and reads_vectors(side, sides)]
    kept = {side.kind: published_settings(side, features) for side in frozen}
    longest = kept.get("text", {}).get("max_tokens", word_pieces(sides[0], max_tokens))
    precision = {kind: its.get("precision", dtype) if dtype == "auto" else dtype for kind, its in kept.items()}
    for one in dict.fromkeys(precision.values()):
        named = {side.kind: side.name for side in frozen if precision[side.kind] == one}
        names = [word for kind in KINDS for word in (f"--{kind}-encoder", named.get(kind, "none"))]
        where = ["--data", str(data), "--features", str(features), "--device", device, "--dtype", one]
        command = [*where, *names, "--on-error", on_error, "--max-tokens", str(longest)]
        if status := stage_1(command):
            kind = Refused if status == Refused.status else Failed
            raise kind(f"stage 1 gave no vectors (above is why): {shlex.join(['python', '-m', 'extract', *command])}")


def published_settings(side: Side, features: Place) -> Mapping[str, Any]:
    """With which its vectors of train were made; empty where there are none that can be read."""
    path = features / side.slug / "train.h5"
    try:
        return store.read_rows(path).identity.settings if path.exists() else {}
    except store.StoreError:
        return {}  # stage 1 will say so


def stage_1(arguments: Sequence[str]) -> int:
    """Its exit status. A process of its own: what it takes of memory is given back."""
    return subprocess.run([sys.executable, "-m", "extract", *arguments]).returncode


def word_pieces(text: Side, most: int) -> int:
    """As many as asked for, or as many as the encoder has positions for."""
    limit = position_limit(text.located) if text.located else None
    return min(most, limit or most)
