"""Contents through an encoder, in batches: the one way by which extract, predict, serve and systems get vectors.

A content's vector does not depend on what it shares a batch with, nor on how many contents are left for the last batch.
Images are decoded ahead in threads while the encoder works, once for all encoders that want them, each into its slot of
a buffer that is used again; texts become word pieces one group ahead. Nothing here imports torch before it is asked to
encode.
"""

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extract import images
from extract.encoders import reading
from extract.encoders.family import Encoder
from extract.encoders.reading import BadImage
from extract.errors import Failed
from extract.files import cache_root, write_text
from extract.machine import FLOAT32, cores, in_threads, prefetch, processor_name
from extract.places import readers
from extract.plan import Item, merged

if TYPE_CHECKING:
    import torch

    from extract.encoders.transfers import Arriving, Buffers

BATCH_SIZE = {"cpu": 8, "cuda": 256, "mps": 64}  # images; on a CPU small batches stay in the cache
IN_HAND = 2  # batches that a GPU has been given and has not finished, besides the one at hand

Report = Callable[[int], object]  # takes a number of finished contents
Groups = Sequence[Sequence[Item]]
# In place of an encoder's own. Texts -> as `Encoder.prepare`; an image's item and the transforms that are wanted of it,
# each an encoder's `prepare` -> pixels of each, or BadImage.
Prepare = Callable[..., Any]


@dataclass(frozen=True)
class Group:
    """What became of contents that were given together."""

    rows: list[int]  # those that have a vector: positions in the group
    vectors: np.ndarray  # [n, dim] float32, of these rows
    tokens: np.ndarray | None  # [n] int32, texts only: word pieces before truncation
    bad: "list[BadImage]"


@dataclass(frozen=True)
class _End:
    """Stands behind a group's last batch."""

    bad: "list[BadImage]" = field(default_factory=list)
    tokens: dict[int, int] = field(default_factory=dict)  # texts only: row -> word pieces


@dataclass(frozen=True)
class ContentBatch:
    """Contents that are encoded together."""

    rows: list[int]  # of a group
    contents: Any  # prepared: a list of as many; or an array of `full`, whose first are these
    full: int  # contents of a batch that need not be filled up

    def filled(self) -> Any:
        """As many contents as a full batch has: the last one again and again."""
        count = len(self.rows)
        if isinstance(self.contents, list):
            return self.contents + self.contents[-1:] * (self.full - count)
        self.contents[count:] = self.contents[count - 1]
        return self.contents


class Slots:
    """A batch of images in the making: threads put each into its slot of one buffer."""

    def __init__(self, buffers: "Buffers", rows: range, full: int, end: _End | None, bad: "list[BadImage]") -> None:
        """rows: of a group. end: of that group, if this is its last batch. bad: its images that are."""
        self.rows, self.full, self.end = rows, full, end
        self._buffers, self._bad = buffers, bad
        self._buffer: np.ndarray | None = None
        self._lock, self._holes = threading.Lock(), set[int]()

    def put(self, slot: int, pixels: np.ndarray) -> None:
        with self._lock:
            if self._buffer is None:
                self._buffer = self._buffers.take((self.full, *pixels.shape), pixels.dtype)
        np.copyto(self._buffer[slot], pixels)

    def leave(self, slot: int, bad: "BadImage") -> None:
        self._holes.add(slot)
        self._bad.append(bad)

    def batch(self) -> ContentBatch | None:
        """Once each slot is put or left; None where all are left."""
        good = [slot for slot in range(len(self.rows)) if slot not in self._holes]
        if self._buffer is None:
            return None
        if self._holes:
            self._buffer[: len(good)] = self._buffer[good]
        return ContentBatch([self.rows[slot] for slot in good], self._buffer, self.full)


@dataclass
class Batches:
    """A loaded encoder, and the batches that it is given.

    Contents of one length share a batch. Where an encoder's bits may depend on how many do (`Encoder.row_by_row`), a
    short batch is filled up with its last content, so that every batch has one shape; unless this processor is seen to
    give the same bits to a content that comes alone, in which case those of a short batch come one by one.
    """

    encoder: Encoder
    batch_size: int  # images; texts: a batch holds batch_size x max_tokens word pieces at the most
    busy: float = field(default=0.0, init=False)  # seconds that the encoder itself has taken, threads added up
    # size of a full batch -> whether a content that comes alone gets the same bits
    _alone: dict[int, bool | None] = field(default_factory=dict, init=False, repr=False)

    def encode(
        self, groups: Groups, done: Report = lambda count: None, prepare: Prepare | None = None
    ) -> Iterator[Group]:
        """Encode groups of contents; yield each when all of it is done. Arguments and errors as of `side_by_side`."""
        return (group() for _, group in side_by_side([(self, groups)], done, prepare))

    @cached_property
    def buffers(self) -> "Buffers":
        from extract.encoders.transfers import Buffers

        return Buffers(self.encoder.device)

    def full(self, size: int) -> int:
        """Contents of a batch that need not be filled up, in a group of so many.

        No larger than what there is to fill it; a plan that goes on cuts the same groups.
        """
        return min(self.batch_size, max(size, BATCH_SIZE[self.encoder.device.type]))

    def vectors(self, batch: ContentBatch) -> "torch.Tensor":
        """[len(batch.rows), dim], on the encoder's device."""
        count, encode = len(batch.rows), self.encoder.encode
        contents = batch.contents[:count]
        if self.encoder.row_by_row or count >= batch.full:
            return encode(contents)
        import torch

        if batch.full not in self._alone:
            self._alone[batch.full] = self._remembered(batch.full) if self.encoder.row_by_row is None else False
        if self._alone[batch.full]:
            return torch.cat([encode(contents[row : row + 1]) for row in range(count)])
        vectors = encode(batch.filled())[:count]
        if self._alone[batch.full] is None:
            ends = {0, count - 1}
            alone = all(torch.equal(encode(contents[row : row + 1])[0], vectors[row]) for row in ends)
            self._alone[batch.full] = alone
            with suppress(OSError):
                write_text(self._memory(batch.full), json.dumps(alone))
        return vectors

    def _memory(self, full: int) -> Path:
        """Where it is remembered how this encoder's short batches are treated: that depends on the processor."""
        import torch

        encoder, device = self.encoder, self.encoder.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
        about: list[Any] = [encoder.located.weights, encoder.located.pooling, str(encoder.dtype), name]
        about += [torch.__version__, full, torch.get_num_threads(), torch.backends.mkldnn.is_available()]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        return cache_root() / "short_batches" / f"{digest[:32]}.json"

    def _remembered(self, full: int) -> bool | None:
        with suppress(OSError, ValueError):
            answer = json.loads(self._memory(full).read_text())
            return answer if isinstance(answer, bool) else None
        return None

    def group(self, rows: list[int], pieces: "list[Arriving]", end: _End) -> Group:
        """Put the vectors of a group's batches into the order of its rows, once they are here."""
        import torch

        vectors = np.empty((len(rows), self.encoder.dim), dtype=np.float32)
        places = np.argsort(np.argsort(rows))  # of each vector, in the order of the rows
        start = 0
        for piece in pieces:
            vectors[places[start : start + len(piece)]] = piece.wait()
            start += len(piece)
        if not np.isfinite(vectors).all():
            short = getattr(self.encoder, "dtype", None) == torch.float16
            raise Failed(
                f"the encoder gave values that are not finite; try {'--dtype float32' if short else '--device cpu'}"
            )
        ordered = sorted(rows)
        tokens = np.array([end.tokens[row] for row in ordered], dtype=np.int32) if end.tokens else None
        return Group(ordered, vectors, tokens, end.bad)


Planned = Generator[tuple[int, ContentBatch | _End]]  # with the number of the encoder that it is for
Wanted = list[tuple[int, Slots, int]]  # an image by encoders, each in a slot of a batch of its own


def side_by_side(
    work: Sequence[tuple[Batches, Groups]], done: Report = lambda count: None, prepare: Prepare | None = None
) -> Iterator[tuple[int, Callable[[], Group]]]:
    """Encode groups of contents, each encoder its own.

    An image that several want is read and decoded once. Contents that two have in common come in one order in both.
    Yields an encoder's number and, of its next group, what waits for the vectors and then returns it: a GPU may still
    be at it.
    done: called with a number of finished contents. prepare: in place of the encoders' own.
    Raises Failed for values that are not finite, and for files that cannot be read for no fault of theirs.
    """
    from extract.encoders.transfers import Arriving

    def encode(
        planned: tuple[int, ContentBatch | _End],
    ) -> "tuple[int, ContentBatch | _End, torch.Tensor | None, float]":
        number, batch = planned
        start = time.perf_counter()
        vectors = work[number][0].vectors(batch) if isinstance(batch, ContentBatch) else None
        return number, batch, vectors, time.perf_counter() - start

    def release(arriving: Arriving, batches: Batches, batch: ContentBatch) -> None:
        start = time.perf_counter()
        arriving.wait()
        batches.busy += time.perf_counter() - start
        if isinstance(batch.contents, np.ndarray):
            batches.buffers.give(batch.contents)

    items = [item for _, groups in work for group in groups for item in group]
    plan = _images(work, prepare) if items and not isinstance(items[0].source, str) else _texts(work, prepare)
    gathered: list[tuple[list[int], list[Arriving]]] = [([], []) for _ in work]  # of the group that each is at
    in_hand: deque[tuple[Arriving, Batches, ContentBatch]] = deque()
    device, size = work[0][0].encoder.device, max(batches.batch_size for batches, _ in work)
    with FLOAT32.products(), closing(plan), batches_at_once(device, size) as each_of:
        for number, batch, vectors, seconds in each_of(encode, plan):
            batches, (rows, pieces) = work[number][0], gathered[number]
            if isinstance(batch, _End):
                done(len(batch.bad))
                yield number, partial(batches.group, rows, pieces, batch)
                gathered[number] = [], []
                continue
            rows += batch.rows
            pieces.append(Arriving(vectors))
            in_hand.append((pieces[-1], batches, batch))
            batches.busy += seconds
            if len(in_hand) > IN_HAND:  # else a fast decoder would fill the GPU's memory
                release(*in_hand.popleft())
            done(len(batch.rows))
        for each in in_hand:
            release(*each)


def _texts(work: Sequence[tuple[Batches, Groups]], prepare: Prepare | None) -> Planned:
    """One encoder's after another's. Those of one length share a batch; a thread tokenises one group ahead."""
    for number, (batches, groups) in enumerate(work):
        encoder = batches.encoder
        sources = ([str(item.source) for item in group] for group in groups)
        for contents in in_threads(prepare or encoder.prepare, sources, 1, window=2, name="tokenise"):
            full, end = batches.full(len(contents)), _End()
            waiting: dict[int, tuple[list[int], list[Any]]] = {}  # by length: rows, and what is in them
            for row, content in enumerate(contents):
                end.tokens[row] = len(content)
                length = encoder.length(content)
                rows, of_length = waiting.setdefault(length, ([], []))
                rows.append(row)
                of_length.append(content)
                # one that must be filled up has one size for all lengths: else the shortest would cost the most
                longest = encoder.longest if encoder.row_by_row else length
                if len(rows) == max(1, batches.batch_size * longest // length):
                    yield number, ContentBatch(*waiting.pop(length), full)
            yield from ((number, ContentBatch(*batch, full)) for _, batch in sorted(waiting.items()))
            yield number, end


def _images(work: Sequence[tuple[Batches, Groups]], prepare: Prepare | None) -> Planned:
    """Read and decoded ahead in threads, once for all encoders, into the slots of each one's batches."""
    items = merged([[item for group in groups for item in group] for _, groups in work])
    transforms = [batches.encoder.prepare for batches, _ in work]
    slots = [_slots(batches, groups) for batches, groups in work]

    def wanted() -> Iterator[tuple[Item, Wanted]]:
        heads = [next(each, ("",)) for each in slots]
        for item in items:
            asking = [number for number, (content, *_) in enumerate(heads) if content == item.content]
            yield item, [(number, *heads[number][1:]) for number in asking]
            for number in asking:
                heads[number] = next(slots[number], ("",))

    def put(asked: tuple[Item, Wanted]) -> tuple[Wanted, BadImage | None]:
        item, places = asked
        different = list(dict.fromkeys(transforms[number] for number, *_ in places))
        made = (prepare or _decoded)(item, different)
        if isinstance(made, BadImage):
            return places, made
        pixels = dict(zip(different, made, strict=True))
        for number, batch, slot in places:
            batch.put(slot, pixels[transforms[number]])
        return places, None

    threads = 1 if prepare else readers(items[0].source, cores())
    window = max(2 * max(batches.batch_size for batches, _ in work), 2 * threads)
    for places, bad in in_threads(put, wanted(), threads, window, name="decode"):
        for number, batch, slot in places:
            if bad:
                batch.leave(slot, bad)
            if slot == len(batch.rows) - 1:
                if ready := batch.batch():
                    yield number, ready
                if batch.end:
                    yield number, batch.end


def _decoded(item: Item, transforms: Sequence[images.Prepare]) -> list[np.ndarray] | BadImage:
    return reading.decode(item, partial(images.transformed, transforms=transforms))


def _slots(batches: Batches, groups: Groups) -> Iterator[tuple[str, Slots, int]]:
    """Where each content goes: in order, a batch and the slot in it."""
    for group in groups:
        full, end = batches.full(len(group)), _End()
        for start in range(0, len(group), batches.batch_size):
            rows = range(start, min(start + batches.batch_size, len(group)))
            last = end if rows.stop == len(group) else None
            batch = Slots(batches.buffers, rows, full, last, end.bad)
            yield from ((group[row].content, batch, row - start) for row in rows)


@contextmanager
def batches_at_once(device: "torch.device", batch_size: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` over batches. A GPU takes one after another; of a CPU's cores each takes one of its own.

    Cores that share a batch wait for each other in every layer, and all of them for one that decodes meanwhile. Only
    batches larger than BATCH_SIZE are shared, for memory's sake.
    """
    import torch

    threads = torch.get_num_threads()
    at_once = min(threads, threads * BATCH_SIZE["cpu"] // batch_size) if device.type == "cpu" else 1
    if at_once <= 1:
        yield map
        return
    pool = ThreadPoolExecutor(at_once, "encode", initializer=torch.set_num_threads, initargs=(threads // at_once,))
    try:
        yield lambda function, batches: prefetch(pool, function, batches, window=2 * at_once)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        torch.set_num_threads(threads)  # part of what a thread sets holds for all
