"""One modality's vectors of any contents: published features first, then what was scored before, last the encoder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.results.models import KeptEncoder
from experiments.scoring import encoder_check
from experiments.scoring.encoding import Content, Vectors, image_vectors, text_vectors
from experiments.scoring.vector_cache import VectorCache
from extract import store
from extract.encoders import image_encoders, text_encoders
from extract.places import Place

Report = Callable[[int], object]  # takes a number of encoded contents
KEEP_EVERY = 64  # contents encoded between two writes to the cache: what a killed process loses


@dataclass
class Source:
    """Where the vectors of one side come from. The encoder is looked for only when it is needed."""

    kept: KeptEncoder
    device: str  # "cpu" or "cuda"
    asked: str | None = None  # an encoder's name or folder, when the head's own name is not to be used
    features: Place | None = None  # a folder that extract wrote
    cache: VectorCache | None = None
    _encoder: Any = field(default=None, init=False, repr=False)

    def vectors(self, contents: Sequence[Content], done: Report) -> tuple[Float[np.ndarray, "n dim"], dict[str, str]]:
        """A row for each content, and why images cannot be decoded, by digest; their rows are zero.

        Raises Refused when contents must be encoded and this machine's encoder is not the head's.
        """
        by_digest = {content.digest: content for content in contents}
        found = self._published(by_digest)
        if self.cache:
            found |= self.cache.get([digest for digest in by_digest if digest not in found])
        bad: dict[str, str] = {}
        left = [content for digest, content in by_digest.items() if digest not in found]
        if left:
            for batch in self._kept_now_and_then(self._encoded(left, bad)):
                found |= batch
                done(len(batch))
        vector = np.zeros((len(contents), self.kept.dim), np.float32)
        for row, content in enumerate(contents):
            if content.digest not in bad:
                vector[row] = found[content.digest]
        return vector, bad

    def ready(self) -> Any:
        """The encoder, checked and loaded once."""
        if self._encoder is None:
            located = encoder_check.locate(self.kept, self.asked, self.device)
            precision = self.kept.settings["precision"]
            if self.kept.kind == "text":
                length = self.kept.settings["max_tokens"]
                self._encoder = text_encoders.load(located, device=self.device, dtype=precision, max_tokens=length)
            else:
                self._encoder = image_encoders.load(located, device=self.device, dtype=precision)
        return self._encoder

    def _published(self, digests: Iterable[str]) -> Vectors:
        wanted = np.array(sorted(digests), "S64")
        found: Vectors = {}
        for rows in self._files:
            for row in np.flatnonzero(np.isin(rows.content, wanted)):
                found[rows.content[row].decode()] = rows.vector[row]
        return found

    @cached_property
    def _files(self) -> list[store.Features]:
        """What the features folder holds of this very encoder."""
        folders = store.encoders(self.features).values() if self.features else ()
        paths = [path for folder in folders if folder.kind == self.kept.kind for path in folder.splits.values()]
        return [rows for rows in map(store.read, paths) if rows.identity.fingerprint == self.kept.fingerprint]

    def _encoded(self, contents: Sequence[Content], bad: dict[str, str]) -> Iterator[Vectors]:
        if self.kept.kind == "text":
            return text_vectors(contents, self.ready())
        return image_vectors(contents, self.ready(), bad)

    def _kept_now_and_then(self, batches: Iterator[Vectors]) -> Iterator[Vectors]:
        waiting: Vectors = {}
        for batch in batches:
            waiting |= batch
            yield batch
            if self.cache and len(waiting) >= KEEP_EVERY:
                self.cache.put(waiting)
                waiting = {}
        if self.cache and waiting:
            self.cache.put(waiting)
