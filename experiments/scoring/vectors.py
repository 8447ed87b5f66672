"""One modality's vectors of any contents: published features first, then what was scored before, last the encoder.

The encoder is the one that a head was trained on, or it is refused: it is looked for by its name, and proved by its
fingerprint.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from experiments.scoring.vector_cache import VectorCache
from extract import encoders, places, store
from extract.encoders import batches, catalogue
from extract.encoders.batches import Report
from extract.encoders.family import Located
from extract.errors import Refused, listing
from extract.places import Place, Source
from extract.plan import Item
from extract.store import EncoderIdentity

Vectors = dict[str, Float[np.ndarray, " dim"]]  # by content's digest
KEEP_EVERY = 64  # contents encoded between two writes to the cache: what a killed process loses
REQUIRED = {"text": {"weights", "pooling", "precision", "max_tokens"}, "image": {"weights", "pooling", "precision"}}


def text_item(text: str) -> Item:
    """A text as extract has it: half surrogate pairs become U+FFFD, as in a dataset's rows."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return Item(hashlib.sha256(text.encode()).hexdigest(), text)


@contextmanager
def encoding(quiet: bool) -> Iterator[Report]:
    """Show how many contents have been encoded, once that takes a moment; unless `quiet`."""
    with tqdm(desc="encoding", unit=" contents", disable=quiet or None, leave=False, delay=0.5) as bar:
        yield bar.update


def image_item(image: bytes | Source) -> Item:
    """An image as extract has it. Raises OSError when the file cannot be read."""
    if isinstance(image, bytes):
        return Item(hashlib.sha256(image).hexdigest(), image)
    return Item(places.digest(image), image)


@dataclass
class VectorSource:
    """Where the vectors of one side come from. The encoder is looked for only when it is needed."""

    encoder: EncoderIdentity
    device: str  # "cpu" or "cuda"
    asked: str | None = None  # an encoder's name or folder, when the identity's own name is not to be used
    features: Place | None = None  # a folder that extract wrote
    cache: VectorCache | None = None
    _batches: batches.Batches | None = field(default=None, init=False, repr=False)

    def vectors(self, items: Sequence[Item], done: Report) -> tuple[Float[np.ndarray, "n dim"], dict[str, str]]:
        """Return a row for each content, and why images cannot be decoded, by digest; their rows are zero.

        Raises Refused when contents must be encoded and this machine's encoder is not the head's.
        """
        by_digest = {item.content: item for item in items}
        held = self._published(by_digest)
        if self.cache:
            held |= self.cache.get([digest for digest in by_digest if digest not in held])
        bad: dict[str, str] = {}
        left = [item for digest, item in by_digest.items() if digest not in held]
        if left:
            groups = [left[start : start + KEEP_EVERY] for start in range(0, len(left), KEEP_EVERY)]
            for group, encoded in zip(groups, self.ready().encode(groups, done), strict=True):
                new = {group[row].content: vector for row, vector in zip(encoded.rows, encoded.vectors, strict=True)}
                bad |= {image.content: image.reason for image in encoded.bad}
                if self.cache and new:
                    self.cache.put(new)
                held |= new
        vectors = np.zeros((len(items), self.encoder.dim), np.float32)
        for row, item in enumerate(items):
            if item.content not in bad:
                vectors[row] = held[item.content]
        return vectors, bad

    def ready(self) -> batches.Batches:
        """The encoder, checked and loaded once."""
        if self._batches is None:
            located = locate(self.encoder, self.asked, self.device)
            loaded = encoders.load(located, device=self.device, **_precision(self.encoder))
            self._batches = batches.Batches(loaded, batches.BATCH_SIZE[self.device])
        return self._batches

    def _published(self, digests: Iterable[str]) -> Vectors:
        wanted = np.array(sorted(digests), "S64")
        return {
            rows.content[row].decode(): rows.vector[row]
            for rows in self._files
            for row in np.flatnonzero(np.isin(rows.content, wanted))
        }

    @cached_property
    def _files(self) -> list[store.Features]:
        """What the features folder holds of this very encoder."""
        folders = store.encoders(self.features).values() if self.features else ()
        paths = [path for folder in folders if folder.kind == self.encoder.kind for path in folder.splits.values()]
        return [rows for rows in map(store.read, paths) if rows.identity.fingerprint == self.encoder.fingerprint]


@dataclass
class SumSource:
    """Where the vectors of one side come from when several encoders' stand side by side."""

    encoder: EncoderIdentity
    parts: list[VectorSource]  # in the order of its columns

    def vectors(self, items: Sequence[Item], done: Report) -> tuple[Float[np.ndarray, "n dim"], dict[str, str]]:
        """As VectorSource has it. What is bad for one encoder is bad."""
        bad: dict[str, str] = {}
        columns = []
        for part in self.parts:
            good = [row for row, item in enumerate(items) if item.content not in bad]
            vectors, its_bad = part.vectors([items[row] for row in good], done)
            bad |= its_bad
            columns.append(np.zeros((len(items), vectors.shape[1]), np.float32))
            columns[-1][good] = vectors
        side_by_side = np.concatenate(columns, axis=1)
        side_by_side[[item.content in bad for item in items]] = 0
        return side_by_side, bad

    def ready(self) -> None:
        """Load the encoders."""
        for part in self.parts:
            part.ready()


def locate(encoder: EncoderIdentity, asked: str | None, device: str) -> Located:
    """The encoder of that identity, or the one asked for; downloaded if need be.

    Raises Refused, with both values of all that differs, unless its vectors are those that heads were trained on.
    """
    if absent := REQUIRED[encoder.kind] - encoder.settings.keys():
        raise Refused(
            f"{encoder.name}'s vectors were not made by extract: it is not known what {', '.join(sorted(absent))} was"
        )
    if encoder.settings["precision"] == "float16" and device == "cpu":
        raise Refused(f"{encoder.name}'s vectors were made in float16, which needs a GPU: none is used here (--device)")
    located = catalogue.locate(encoder.kind, asked or catalogue_name(encoder))
    _refuse_other(encoder, located, encoders.settings(located, **_precision(encoder)))
    return located


def catalogue_name(encoder: EncoderIdentity) -> str:
    """What the catalogue calls an encoder, from its features' folder. Raises Refused if it was read from a folder."""
    pooling = encoder.settings["pooling"]
    form = encoder.settings.get("family", "")
    default = catalogue.default_pooling(encoder.kind, form)
    name = encoder.name.removesuffix(catalogue.tower_suffix(encoder.kind, form))
    base = name if pooling == default else name.removesuffix(f"-{pooling}")
    suffix = "" if pooling == default else f":{pooling}"
    if base not in catalogue.KNOWN:
        if base.endswith(encoder.settings["weights"][:8]) or "--" not in base:
            raise Refused(f"{encoder.name} was read from a folder: name it with --{encoder.kind}-encoder FOLDER")
        base = base.replace("--", "/", 1)
    return base + suffix


def _precision(encoder: EncoderIdentity) -> dict[str, Any]:
    return {"dtype": encoder.settings["precision"], "max_tokens": encoder.settings.get("max_tokens", 0)}


def _refuse_other(encoder: EncoderIdentity, located: Located, here: Mapping[str, Any]) -> None:
    fingerprint = store.fingerprint(dict(here))
    if fingerprint == encoder.fingerprint:
        return
    differ = [key for key in sorted({*encoder.settings, *here}) if encoder.settings.get(key) != here.get(key)]
    pairs = [("encoder", encoder.name, located.slug)]
    pairs += [(key, encoder.settings.get(key, "none"), here.get(key, "none")) for key in differ]
    pairs += [("fingerprint", encoder.fingerprint, fingerprint)]
    lines = [f"{key}: trained on {theirs}, here {ours}" for key, theirs, ours in pairs if theirs != ours]
    raise Refused(
        f"this {encoder.kind} encoder ({located.source}) does not make the vectors that the heads were trained on:\n"
        f"{listing(lines)}\n"
        f"Name the right one with --{encoder.kind}-encoder, or extract with this one and run experiments.compare again."
    )
