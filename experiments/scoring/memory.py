"""What a head remembers: labelled examples that join it without training, and memes of it found again, to be shown."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from PIL import Image

from experiments.results.models import RememberedMemes
from experiments.scoring.vectors import text_item
from extract import dataset, images, manifest
from extract.dataset import Meme
from extract.errors import Failed, Refused, listing
from extract.places import place

Content = tuple[str, str]  # sha256 of a meme's text and of its image, in hex
LONGER = 240  # pixels of a thumbnail
QUALITY = 72  # of its JPEG


@dataclass(frozen=True)
class Added:
    """What became of the memes of a file of examples."""

    source: str
    head: str
    memes: int  # that joined what the head remembers
    twice: int  # that it held already, with this label, or that the file holds twice: kept once
    relabelled: int  # memes that it held with the other label than one of these, and forgot
    before: int  # memes that it held
    voting: int  # runs whose memory dev had let vote; now all do
    runs: int
    left_out: list[str]  # of each example that could not be used, its id and why


@dataclass(frozen=True)
class Neighbour:
    """A remembered meme near one that was scored."""

    place: int  # in what the head remembers
    id: str
    label: int
    cosine: float  # mean over runs
    share: float  # of the vote; mean over runs
    example: bool  # added since the training


def refuse_contradictions(memes: Sequence[Meme], contents: Sequence[Content]) -> None:
    """Raise Refused where memes of one text and image have both labels."""
    given = defaultdict[Content, list[Meme]](list)
    for meme, content in zip(memes, contents, strict=True):
        given[content].append(meme)
    if odd := [its for its in given.values() if len({meme.label for meme in its}) > 1]:
        lines = [", ".join(f"{meme.id} (label {meme.label})" for meme in its) for its in odd]
        raise Refused(
            f"examples of one text and image have both labels ({len(odd):,} times); leave one:\n{listing(lines)}"
        )


@dataclass(frozen=True)
class Memory:
    """What a head remembers, and the memes themselves where they are still at hand."""

    known: RememberedMemes
    examples: tuple[Meme, ...] = ()  # the last of the known, in their order

    def joined(self, memes: Sequence[Meme], contents: Sequence[Content]) -> tuple["Memory", list[int], list[int]]:
        """Return the memory with `memes` at its end, which of these joined it, and the places of what they replaced.

        contents: text and image of each, sha256 in hex. A content is remembered once: a meme that is known with its
        label does not join, and one that is known with the other replaces it.
        """
        known, held = self.known, defaultdict[Content, list[int]](list)
        for at, content in enumerate(zip(known.text, known.image, strict=True)):
            held[content].append(at)
        first, new, replaced = set[Content](), list[int](), list[int]()
        for row, (meme, content) in enumerate(zip(memes, contents, strict=True)):
            if content not in first and all(known.label[at] != meme.label for at in held[content]):
                new.append(row)
                replaced += held[content]
            first.add(content)
        kept = sorted(set(range(len(known.ids))) - set(replaced))
        more = replace(
            known,
            ids=[known.ids[at] for at in kept] + [memes[row].id for row in new],
            label=[known.label[at] for at in kept] + [int(memes[row].label or 0) for row in new],
            text=[known.text[at] for at in kept] + [contents[row][0] for row in new],
            image=[known.image[at] for at in kept] + [contents[row][1] for row in new],
        )
        return Memory(more, tuple(memes[row] for row in new)), new, replaced

    def is_example(self, at: int) -> bool:
        return at >= len(self.known.ids) - len(self.examples)

    def text(self, at: int) -> str | None:
        """The text of the meme at a place; None where it is no longer at hand, or is another one now."""
        meme = self._meme(at)
        return meme.text if meme and text_item(meme.text).content == self.known.text[at] else None

    def image(self, at: int) -> bytes | None:
        """Likewise the file of its image. Nothing is read but what its dataset's manifest names, within its folder."""
        meme = self._meme(at)
        if meme is None:
            return None
        try:
            if isinstance(meme.image, Path) and not self.is_example(at):
                data = Path(self.known.data)
                manifest.images_of(data, check=True).find(str(meme.image.relative_to(data)))
            content = meme.image.read_bytes()
        except (OSError, ValueError, Failed):
            return None
        return content if hashlib.sha256(content).hexdigest() == self.known.image[at] else None

    def thumbnail(self, at: int) -> bytes | None:
        """A small JPEG of that image; None where there is none."""
        try:
            small, _ = images.decode_whole(self.image(at) or b"", LONGER)
        except images.Undecodable:
            return None
        out = io.BytesIO()
        Image.fromarray(small).save(out, "JPEG", quality=QUALITY)
        return out.getvalue()

    def _meme(self, at: int) -> Meme | None:
        train = len(self.known.ids) - len(self.examples)
        return self._train.get(self.known.ids[at]) if at < train else self.examples[at - train]

    @cached_property
    def _train(self) -> Mapping[str, Meme]:
        if not self.known.data:
            return {}
        try:
            return {meme.id: meme for meme in dataset.read_split(place(self.known.data), "train", ()).memes}
        except (OSError, Failed):
            return {}
