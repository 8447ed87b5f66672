"""Which two encoders a system runs with, where they are, and stage 1's vectors of those that are frozen."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.systems.build import Side, reads_vectors
from experiments.systems.published import FASTTEXT, STAND_INS, System
from extract import catalogue, text_encoders
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
    sides, refusals = [], []
    for kind, published in zip(KINDS, (system.text, system.image), strict=True):
        name = named(kind, published, wanted)
        try:
            located = None if name == FASTTEXT else catalogue.locate(kind, name)
        except Refused as refusal:
            refusals.append((kind, str(refusal)))
            continue
        sides.append(Side(kind, name, kind in wanted.train, located, stand_in=bare(name) != bare(published)))
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


def bare(name: str) -> str:
    """An encoder's name without its pooling."""
    return name.rpartition(":")[0] or name


def way_out(refusals: Sequence[tuple[str, str]], command: Sequence[str]) -> str:
    reasons = "\n".join(message.splitlines()[0] for _, message in refusals)
    options = [word for kind, _ in refusals for word in (f"--{kind}-encoder", STAND_INS[kind])]
    again = shlex.join(["python", "-m", "experiments.systems", *command, *options])
    return (
        f"{reasons}\nTo run it with stand-ins that need no hub (every table will say so):\n  {again}\n"
        "To run it as published, put the weights where `python -m extract --text-encoder ... --image-encoder ...` "
        "finds them; it names the ways."
    )


def extract(
    sides: Sequence[Side], data: Place, features: Place, device: str, dtype: str, on_error: str, max_tokens: int
) -> None:
    """Have stage 1 make the vectors of every frozen encoder that it knows; what is there already is not made again."""
    frozen = {side.kind: side.name for side in sides if side.located is not None and reads_vectors(side, sides)}
    if not frozen:
        return
    names = [word for kind in KINDS for word in (f"--{kind}-encoder", frozen.get(kind, "none"))]
    where = ["--data", str(data), "--features", str(features), "--device", device, "--dtype", dtype]
    longest = str(word_pieces(sides[0], max_tokens))
    command = [*where, *names, "--on-error", on_error, "--max-tokens", longest]
    status = stage_1(command)
    if status:
        kind = Refused if status == Refused.status else Failed
        raise kind(f"stage 1 gave no vectors (above is why): {shlex.join(['python', '-m', 'extract', *command])}")


def stage_1(arguments: Sequence[str]) -> int:
    """Its exit status. A process of its own: what it takes of memory is given back."""
    return subprocess.run([sys.executable, "-m", "extract", *arguments]).returncode


def word_pieces(text: Side, most: int) -> int:
    """As many as asked for, or as many as the encoder has positions for."""
    limit = text_encoders.position_limit(text.located) if text.located else None
    return min(most, limit or most)
