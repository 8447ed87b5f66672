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
from extract.dataset import SIDES, Meme
from extract.encoders import catalogue
from extract.encoders.family import Located
from extract.encoders.text import LENGTH_STEP, architecture, position_limit
from extract.errors import Refused, need
from extract.places import Place
from extract.store import EncoderIdentity

CELLS = 7 * 7  # cells of an image's grid
# As fastText's train_unsupervised has them, but for the buckets: two million of them are for a thousand times the text.
# More workers than one would race each other to other vectors.
CBOW = {
    "vector_size": 150, "sg": 0, "window": 5, "min_count": 5, "negative": 5, "epochs": 5, "alpha": 0.05, "min_n": 3,
    "max_n": 6, "bucket": 200_000, "sample": 1e-4, "seed": 0, "workers": 1,
}  # fmt: skip


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
class Request:
    """What a user asks for, beside the system and its setting."""

    data: Place = Path()
    features: Place = Path()
    out: Path = Path()
    text_encoder: str | None = None  # another than the published one
    image_encoder: str | None = None
    stand_in: bool = False  # take STAND_INS for all that are published and no FASTTEXT
    train: tuple[str, ...] = ()  # encoders that train
    seeds: int | None = None  # None: FROZEN_SEEDS, or one where an encoder trains
    rows: int | None = None  # train memes, drawn with seed 0; None: all
    steps: int | None = None  # of the optimiser, at most; None: as many as the epochs make
    device: str = "auto"  # or "cpu" or "cuda"
    dtype: str = "auto"  # "bfloat16" or "float32"; auto: bfloat16 where an encoder trains and the processor has it
    on_error: str = "stop"  # "skip": memes that cannot be used are left out

    def named(self, kind: str, published: str) -> str:
        """The encoder to take. One that stands in for a grid gives a grid, too."""
        asked = {"text": self.text_encoder, "image": self.image_encoder}[kind]
        name = STAND_INS[kind] if self.stand_in and not asked and published != FASTTEXT else asked or published
        return name + ":grid" if published.endswith(":grid") and not name.endswith(":grid") else name


def choose(system: System, request: Request, command: Sequence[str]) -> tuple[Side, Side]:
    """Text and image, located on this disk; nothing is loaded.

    command: what the user typed, for the way out. Raises Refused when an encoder cannot train in this system, or cannot
    be had: both together, with a command that runs.
    """
    impossible = [kind for kind in request.train if kind not in system.may_train]
    if impossible:
        able = f"--train {','.join(system.may_train)}" if system.may_train else "--train none"
        raise Refused(f"{system.name} cannot train its {' and '.join(impossible)} encoder; it takes {able} or none")
    published = {"text": system.text, "image": system.image}
    names = {kind: request.named(kind, its) for kind, its in published.items()}
    refuse_unfit(system, names, request.train)
    sides, refusals = [], []
    for kind, name in names.items():
        try:
            located = None if (kind, name) == ("text", FASTTEXT) else catalogue.locate(kind, name)
        except Refused as refusal:
            refusals.append((kind, name, str(refusal)))
            continue
        trains, stand_in = kind in request.train, is_other(kind, name, published[kind])
        # Frozen sides are cached; but beside a grid, words are read by the encoder, frozen or not.
        cached = not trains and not (kind == "text" and names["image"].endswith(":grid"))
        slug, weights = (located.slug, located.weights) if located else (name, "")
        identity = EncoderIdentity(kind, slug, 0, weights, {}, {})
        sides.append(Side(name, published[kind], stand_in, trains, identity, located, cached))
    if refusals:
        raise Refused(way_out(refusals, command))
    for side in sides:
        refuse_towers(system, side)
    text, image = sides
    if system.design == "transformer" and text.located:
        refuse_all_but_bert(text.located)
        word_pieces(text.located, system.max_tokens, CELLS)
    return text, image


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


def refuse_all_but_bert(located: Located) -> None:
    """Raise Refused for a text encoder that cannot read a grid's cells, before it is loaded."""
    if (kind := architecture(located)) != "bert":
        raise Refused(
            f"{located.name} is of type {kind!r}; a grid's cells are read by a BERT, whose positions are "
            "absolute and can be given to each: take bert-base-uncased or all-MiniLM-L6-v2"
        )


def is_other(kind: str, name: str, published: str) -> bool:
    """Whether `name` is not the published encoder: not its name, one of its repositories or a folder so called."""
    (mine, pooling), (theirs, its_pooling) = (catalogue.split_pooling(kind, each) for each in (name, published))
    known, default = catalogue.KNOWN.get(theirs), catalogue.default_pooling(kind)
    same = mine in (theirs, *(known.repositories if known else ())) or Path(mine).expanduser().name == theirs
    return not same or (pooling or default) != (its_pooling or default)


def way_out(refusals: Sequence[tuple[str, str, str]], command: Sequence[str]) -> str:
    """refusals: kind, encoder and why it cannot be had."""
    reasons = "\n".join(message.splitlines()[0] for _, _, message in refusals)
    if any(name.partition(":")[0] == STAND_INS[kind] for kind, name, _ in refusals):
        return f"{reasons}\nNo other stand-in is left. `python -m extract` names the ways to put its weights here."
    options = [word for kind, _, _ in refusals for word in (f"--{kind}-encoder", STAND_INS[kind])]
    again = shlex.join(["python", "-m", "experiments.systems", *command, *options])
    return (
        f"{reasons}\nTo run it with stand-ins that need no hub (every table will say so):\n  {again}\n"
        "To run it as published, put the weights where `python -m extract --text-encoder ... --image-encoder ...` "
        "finds them; it names the ways."
    )


def extract(sides: Sequence[Side], request: Request, device: str, max_tokens: int) -> None:
    """Have stage 1 make the vectors of every cached encoder that it knows; what is there already is not made again.

    A dtype of "auto" takes the precision of vectors that are there. So are their texts cut as they are, and not to
    `max_tokens`: a folder that a user has made is read and not made anew.
    """
    frozen = {side.identity.kind: side for side in sides if side.located is not None and side.cached}
    there = {kind: published_settings(request.features / side.identity.name) for kind, side in frozen.items()}
    longest = there.get("text", {}).get("max_tokens", word_pieces(sides[0].located, max_tokens))
    asked = request.dtype
    dtypes = {kind: its.get("precision", asked) if asked == "auto" else asked for kind, its in there.items()}
    how: dict[str, Any] = {"data": request.data, "features": request.features, "on_error": request.on_error}
    for dtype in dict.fromkeys(dtypes.values()):
        how |= {f"{kind}_encoder": frozen[kind].name if dtypes.get(kind) == dtype else "none" for kind in SIDES}
        stage.extract(verbose=True, device=device, dtype=dtype, max_tokens=longest, **how)


def published_settings(folder: Place) -> Mapping[str, Any]:
    """With which a folder's vectors of train were made; empty where there are none that can be read."""
    path = folder / "train.h5"
    try:
        return store.read_rows(path).identity.settings if path.exists() else {}
    except store.StoreError:
        return {}  # stage 1 will say so


def word_pieces(located: Located | None, most: int, cells: int = 0) -> int:
    """As many as asked for, or as many as the text encoder has positions for.

    cells: of an image, which stand in one sequence before the words; these are padded. Raises Refused where that leaves
    no position for words.
    """
    limit = (position_limit(located) if located else None) or most + cells
    if not cells:
        return min(most, limit)
    longest = min(most, limit, (min(most + cells, limit) - cells) // LENGTH_STEP * LENGTH_STEP)
    if longest <= 0:
        assert located is not None
        raise Refused(f"{located.name} has no positions for words behind an image's {cells} cells; take another")
    return longest


def fasttext_settings(texts: Sequence[str]) -> dict[str, Any]:
    """All that changes a fastText vector: the texts in their order, and how they are learned from."""
    digest = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
    return {**CBOW, "family": "fasttext", "pooling": "mean of unit word vectors", "texts": digest}


def learn_fasttext(texts: Sequence[str]) -> Any:
    """gensim's word vectors (FastTextKeyedVectors). The same texts give the same vectors.

    Raises Refused where gensim is missing, or no word occurs often enough.
    """
    need(["gensim"], "fastText needs", "systems")
    from gensim.models import FastText

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
    texts = {split: [meme.text for meme in memes] for split, memes in splits.items()}
    settings, versions = fasttext_settings(texts["train"]), {"gensim": metadata.version("gensim")}
    fingerprint = store.fingerprint(settings)
    identity = EncoderIdentity("text", folder.name, settings["vector_size"], fingerprint, settings, versions)
    rows = {split: rows_of(its, split, identity, [each.text_content for each in its]) for split, its in splits.items()}
    if all(store.holds(folder / f"{split}.h5", its) for split, its in rows.items()):
        return
    learned = learn_fasttext(texts["train"])
    for split, its in rows.items():
        words = np.array([len(text.split()) for text in texts[split]], dtype=np.int32)
        about = vars(its) | {"tokens": words, "vector": fasttext_vectors(texts[split], learned)}
        store.publish(folder / f"{split}.h5", store.Features(**about))


def rows_of(memes: Sequence[Meme], split: str, identity: EncoderIdentity, content: Sequence[str]) -> store.SplitRows:
    """A features file's rows of these memes. content: sha256 in hex of each."""
    ids = np.array([meme.id for meme in memes])
    label = np.array([store.NO_LABEL if meme.label is None else meme.label for meme in memes], dtype=np.int8)
    return store.SplitRows(identity, split, ids, label, np.array(content, "S64"), [])
