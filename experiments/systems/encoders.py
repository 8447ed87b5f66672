"""Which two encoders a system runs with, where they are, and cached vectors of those that stay frozen.

Vectors come from stage 1, but for fastText's: CBOW vectors that are learned here, without labels, from train's texts.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.systems.published import FASTTEXT, STAND_INS, System
from extract import stage, store
from extract.dataset import Meme
from extract.encoders import catalogue
from extract.encoders.family import Located
from extract.encoders.text import architecture, position_limit
from extract.errors import Refused
from extract.places import Place
from extract.store import EncoderIdentity

KINDS = ("text", "image")
# As fastText's train_unsupervised has them, but for the buckets: two million of them are for a thousand times the text.
CBOW = {
    "vector_size": 150,
    "sg": 0,
    "window": 5,
    "min_count": 5,
    "negative": 5,
    "epochs": 5,
    "alpha": 0.05,
    "min_n": 3,
    "max_n": 6,
    "bucket": 200_000,
    "sample": 1e-4,
    "seed": 0,
    "workers": 1,  # more would race each other to other vectors
}


@dataclass(frozen=True)
class UsedEncoder:
    """One side of a run, as its record has it."""

    name: str  # as asked for
    published: str  # the encoder it stands for
    stand_in: bool  # whether it is not the published one
    trains: bool
    identity: EncoderIdentity  # dim 0 where no cached vectors are read; then the fingerprint is the weights' digest

    @property
    def is_grid(self) -> bool:
        return self.name.endswith(":grid")


@dataclass(frozen=True)
class Side(UsedEncoder):
    """A used encoder on this disk."""

    located: Located | None = None  # None for fastText, which has no weights but those that are learned here
    cached: bool = True  # whether the model reads its vectors from the features folder; else it holds the encoder

    @property
    def record(self) -> UsedEncoder:
        return UsedEncoder(**{field.name: getattr(self, field.name) for field in fields(UsedEncoder)})


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
    published = dict(zip(KINDS, (system.text, system.image), strict=True))
    names = {kind: named(kind, published[kind], wanted) for kind in KINDS}
    refuse_unfit(system, names, wanted.train)
    sides, refusals = [], []
    for kind, name in names.items():
        try:
            located = None if (kind, name) == ("text", FASTTEXT) else catalogue.locate(kind, name)
        except Refused as refusal:
            refusals.append((kind, name, str(refusal)))
            continue
        trains = kind in wanted.train
        identity = EncoderIdentity(
            kind, located.slug if located else name, 0, located.weights if located else "", {}, {}
        )
        # Frozen sides are cached; but beside a grid, words are read by the encoder, frozen or not.
        cached = not trains and not (kind == "text" and names["image"].endswith(":grid"))
        stand_in = is_other(kind, name, published[kind])
        sides.append(Side(name, published[kind], stand_in, trains, identity, located, cached))
    if refusals:
        raise Refused(way_out(refusals, command))
    for side in sides:
        refuse_towers(system, side)
    if system.design == "transformer":
        refuse_all_but_bert(sides[0].located)
    return sides[0], sides[1]


def named(kind: str, published: str, wanted: Wanted) -> str:
    """The encoder to take. One that stands in for a grid gives a grid, too."""
    name = wanted.names[kind] or published
    if wanted.stand_in and not wanted.names[kind] and published != FASTTEXT:
        name = STAND_INS[kind]
    return name + ":grid" if published.endswith(":grid") and not name.endswith(":grid") else name


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


def refuse_towers(system: System, side: Side) -> None:
    """Raise Refused for an encoder in the model, or of a grid, that the model cannot feed or read.

    Its own pixels, prompts and paddings are stage 1's to know; frozen and pooled, any encoder does.
    """
    if side.located is None or (side.cached and not side.is_grid):
        return
    kind = side.identity.kind
    if catalogue.family_of(side.located) is not catalogue.FAMILY_OF_KNOWN[kind] or side.located.pooling == "sentence":
        whole = "a ResNet" if kind == "image" else "an encoder of texts alone, pooled by cls, mean or pooler"
        raise Refused(f"{system.name} takes no {side.name} that trains or is read in parts: name {whole}")


def refuse_all_but_bert(located: Located | None) -> None:
    """Raise Refused for a text encoder that cannot read a grid's cells, before it is loaded."""
    if located is not None and (kind := architecture(located)) != "bert":
        raise Refused(
            f"{located.name} is of type {kind!r}; a grid's cells are read by a BERT, whose positions are "
            "absolute and can be given to each: take bert-base-uncased or all-MiniLM-L6-v2"
        )


def is_other(kind: str, name: str, published: str) -> bool:
    """Whether `name` is not the published encoder: not its name, one of its repositories or a folder so called."""
    (mine, pooling), (theirs, their_pooling) = (with_pooling(kind, each) for each in (name, published))
    known = catalogue.KNOWN.get(theirs)
    same = {theirs, *(known.repositories if known else ())}
    return pooling != their_pooling or not (mine in same or Path(mine).expanduser().name == theirs)


def with_pooling(kind: str, name: str) -> tuple[str, str]:
    """An encoder's name without its pooling, and its pooling."""
    base, colon, pooling = name.rpartition(":")
    known = colon and pooling in catalogue.poolings(kind)
    return (base, pooling) if known else (name, catalogue.default_pooling(kind))


def way_out(refusals: Sequence[tuple[str, str, str]], command: Sequence[str]) -> str:
    """refusals: kind, encoder and why it cannot be had."""
    reasons = "\n".join(message.splitlines()[0] for _, _, message in refusals)
    if any(with_pooling(kind, name)[0] == STAND_INS[kind] for kind, name, _ in refusals):
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
    """Have stage 1 make the vectors of every cached encoder that it knows; what is there already is not made again.

    dtype: "auto" takes the precision of vectors that are there. So are their texts cut as they are, and not to
    `max_tokens`: a folder that a user has made is read and not made anew.
    """
    frozen = {side.identity.kind: side for side in sides if side.located is not None and side.cached}
    there = {kind: published_settings(features / side.identity.name) for kind, side in frozen.items()}
    longest = there.get("text", {}).get("max_tokens", word_pieces(sides[0].located, max_tokens))
    precision = {kind: its.get("precision", dtype) if dtype == "auto" else dtype for kind, its in there.items()}
    for one in dict.fromkeys(precision.values()):
        names: dict[str, Any] = {f"{kind}_encoder": "none" for kind in KINDS}
        names |= {f"{kind}_encoder": side.name for kind, side in frozen.items() if precision[kind] == one}
        stage.extract(
            verbose=True, data=data, features=features, device=device, dtype=one, on_error=on_error,
            max_tokens=longest, **names,
        )  # fmt: skip


def published_settings(folder: Place) -> Mapping[str, Any]:
    """With which a folder's vectors of train were made; empty where there are none that can be read."""
    path = folder / "train.h5"
    try:
        return store.read_rows(path).identity.settings if path.exists() else {}
    except store.StoreError:
        return {}  # stage 1 will say so


def word_pieces(located: Located | None, most: int) -> int:
    """As many as asked for, or as many as the text encoder has positions for."""
    limit = position_limit(located) if located else None
    return min(most, limit or most)


def fasttext_settings(texts: Sequence[str]) -> dict[str, Any]:
    """All that changes a fastText vector: the texts in their order, and how they are learned from."""
    digest = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
    return {**CBOW, "family": "fasttext", "pooling": "mean of unit word vectors", "texts": digest}


def learn_fasttext(texts: Sequence[str]) -> Any:
    """gensim's word vectors (FastTextKeyedVectors). The same texts give the same vectors.

    Raises Refused where gensim is missing, or no word occurs often enough.
    """
    try:
        from gensim.models import FastText
    except ImportError:
        raise Refused("fastText needs gensim: pip install 'memefuse[systems]'") from None
    try:
        # words are what stands between spaces, as fastText has them
        return FastText(sentences=[text.split() for text in texts], **CBOW).wv
    except RuntimeError as error:  # "you must first build vocabulary"
        raise Refused(
            f"fastText learns from words that occur {CBOW['min_count']} times or more; "
            f"the {len(texts):,} texts of train have none ({error})"
        ) from None


def fasttext_vectors(texts: Sequence[str], learned: Any) -> Float[np.ndarray, "n dim"]:
    """The mean of each text's word vectors at length 1, as fastText's get_sentence_vector; zeros without words.

    A word that train lacks has the vector of its pieces.
    """
    vectors = np.zeros((len(texts), learned.vector_size), np.float32)
    for row, text in zip(vectors, texts, strict=True):
        if words := text.split():
            units = np.stack([learned.get_vector(word) for word in words])
            row[:] = (units / np.linalg.norm(units, axis=1, keepdims=True).clip(1e-12)).mean(axis=0)
    return vectors


def publish_fasttext(folder: Place, splits: Mapping[str, Sequence[Meme]]) -> None:
    """Write vectors of every split under `folder`, learned from "train"; nothing is done where they are there."""
    texts = [meme.text for meme in splits["train"]]
    settings = fasttext_settings(texts)
    rows = {split: fasttext_rows(folder.name, split, memes, settings) for split, memes in splits.items()}
    if all(store.holds(folder / f"{split}.h5", its_rows) for split, its_rows in rows.items()):
        return
    learned = learn_fasttext(texts)
    for split, its_rows in rows.items():
        vector = fasttext_vectors([meme.text for meme in splits[split]], learned)
        store.publish(folder / f"{split}.h5", store.Features(**vars(its_rows), vector=vector))


def fasttext_rows(encoder: str, split: str, memes: Sequence[Meme], settings: dict[str, Any]) -> store.Rows:
    versions = {"gensim": metadata.version("gensim")}
    identity = EncoderIdentity(
        "text", encoder, settings["vector_size"], store.fingerprint(settings), settings, versions
    )
    content = np.array([meme.text_content for meme in memes], dtype="S64")
    words = np.array([len(meme.text.split()) for meme in memes], dtype=np.int32)
    return store.Rows(identity, split, np.array([meme.id for meme in memes]), labels(memes), content, [], words)


def labels(memes: Sequence[Meme]) -> np.ndarray:
    return np.array([store.NO_LABEL if meme.label is None else meme.label for meme in memes], dtype=np.int8)
