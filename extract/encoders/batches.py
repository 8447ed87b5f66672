"""Contents through an encoder, in batches: the one way by which extract, predict, serve and systems get vectors.

A content's vector does not depend on what it shares a batch with, nor on how many contents are left for the last batch.
Images are decoded ahead in threads while the encoder works. Nothing here imports torch before it is asked to encode.
"""

import errno
import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from extract import images
from extract.encoders.family import Encoder
from extract.errors import Failed
from extract.files import cache_root, write_text
from extract.machine import FLOAT32, cores, processor_name
from extract.places import readers
from extract.plan import Item

if TYPE_CHECKING:
    import torch

    from extract.encoders.transfers import Arriving

BATCH_SIZE = {"cpu": 8, "cuda": 256, "mps": 64}  # images; on a CPU small batches stay in the cache
IN_HAND = 3  # batches that a GPU has been given and has not finished
# Threads that wait for bytes from elsewhere are many; of those that decode, more than cores would starve the encoder.
DECODING = threading.BoundedSemaphore(cores())
UNREAD, CHANGED = "cannot be read", "changed while it was being read"
# what the file itself can be at fault for; all else (EIO, ESTALE, EMFILE, ...) is the machine's or the network's
OF_THE_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP}

In = TypeVar("In")
Out = TypeVar("Out")
Report = Callable[[int], object]  # takes a number of finished contents


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

    bad: "list[BadImage]"
    tokens: dict[int, int]  # texts only: row -> word pieces


@dataclass(frozen=True)
class Batch:
    """Contents that are encoded together."""

    contents: list[tuple[int, Any]]  # rows of a group, and their contents prepared
    full: int  # contents of a batch that need not be filled up


@dataclass
class Batches:
    """A loaded encoder, and the batches that it is given.

    Contents of one length share a batch. Where an encoder's bits may depend on how many do (`Encoder.row_by_row`), a
    short batch is filled up with its last content, so that every batch has one shape; unless this processor is seen to
    give the same bits to a content that comes alone, in which case those of a short batch come one by one.
    """

    encoder: Encoder
    batch_size: int  # images; texts: a batch holds batch_size x max_tokens word pieces at the most
    # size of a full batch -> whether a content that comes alone gets the same bits
    _alone: dict[int, bool | None] = field(default_factory=dict, init=False, repr=False)

    def encode(
        self, groups: Sequence[Sequence[Item]], done: Report = lambda count: None, prepared: Iterator[Any] | None = None
    ) -> Iterator[Group]:
        """Encode groups of contents; yield each when all of it is done.

        done: called with a number of finished contents.
        prepared: all groups' contents in order as `Encoder.prepare` gives them, if somebody has done that.
        Raises Failed for values that are not finite, and for files that cannot be read for no fault of theirs.
        """
        return (group() for group in self.started(groups, done, prepared))

    def started(
        self, groups: Sequence[Sequence[Item]], done: Report = lambda count: None, prepared: Iterator[Any] | None = None
    ) -> Iterator[Callable[[], Group]]:
        """As `encode`, but of each group what waits for its vectors and then returns it: a GPU may still be at it."""
        from extract.encoders.transfers import Arriving

        given = self._prepared(groups) if prepared is None else _given(prepared)
        with FLOAT32.products(), given as contents:
            plan = self._plan((len(group), islice(contents, len(group))) for group in groups)
            rows: list[int] = []
            pieces: list[Arriving] = []
            in_hand: deque[Arriving] = deque()
            with batches_at_once(self.encoder.device, self.batch_size) as each_of:
                for batch, vectors in each_of(self._encode, plan):
                    if isinstance(batch, _End):
                        done(len(batch.bad))
                        yield partial(self._group, rows, pieces, batch)
                        rows, pieces = [], []
                    else:
                        rows += [row for row, _ in batch.contents]
                        pieces.append(Arriving(vectors))
                        in_hand.append(pieces[-1])
                        if len(in_hand) > IN_HAND:  # else a fast decoder would fill the GPU's memory
                            in_hand.popleft().wait()
                        done(len(vectors))

    @contextmanager
    def _prepared(self, groups: Sequence[Sequence[Item]]) -> Iterator[Iterator[Any]]:
        """Texts are tokenised a group at a time, images read and decoded ahead in threads."""
        items = [item for group in groups for item in group]
        if not items or isinstance(items[0].source, str):
            yield (ids for group in groups for ids in self.encoder.prepare([str(item.source) for item in group]))
            return
        threads = readers(items[0].source, cores())
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        try:
            window = max(3 * self.batch_size, 2 * threads)
            yield prefetch(pool, partial(decode, prepare=self.encoder.prepare), items, window)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _plan(self, groups: Iterable[tuple[int, Iterable[Any]]]) -> Iterator[Batch | _End]:
        """groups: each with its number of contents."""
        for size, group in groups:
            # no larger than what there is to fill it; a plan that goes on cuts the same groups
            full = min(self.batch_size, max(size, BATCH_SIZE[self.encoder.device.type]))
            end = _End([], {})
            waiting: dict[int, list[tuple[int, Any]]] = {}  # by length
            for row, content in enumerate(group):
                if isinstance(content, BadImage):
                    end.bad.append(content)
                    continue
                if isinstance(content, list):
                    end.tokens[row] = len(content)
                length = self.encoder.length(content)
                waiting.setdefault(length, []).append((row, content))
                # one that must be filled up has one size for all lengths: else the shortest would cost the most
                longest = self.encoder.longest if self.encoder.row_by_row else length
                if len(waiting[length]) == max(1, self.batch_size * longest // length):
                    yield Batch(waiting.pop(length), full)
            yield from (Batch(batch, full) for _, batch in sorted(waiting.items()))
            yield end

    def _encode(self, batch: Batch | _End) -> "tuple[Batch | _End, torch.Tensor | None]":
        if isinstance(batch, _End):
            return batch, None
        contents = [content for _, content in batch.contents]
        if self.encoder.row_by_row or len(contents) >= batch.full:
            return batch, self.encoder.encode(contents)
        import torch

        if batch.full not in self._alone:
            self._alone[batch.full] = self._remembered(batch.full) if self.encoder.row_by_row is None else False
        if self._alone[batch.full]:
            return batch, torch.cat([self.encoder.encode([content]) for content in contents])
        filled = contents + contents[-1:] * (batch.full - len(contents))
        vectors = self.encoder.encode(filled)[: len(contents)]
        if self._alone[batch.full] is None:
            ends = {0, len(contents) - 1}
            alone = all(torch.equal(self.encoder.encode([contents[row]])[0], vectors[row]) for row in ends)
            self._alone[batch.full] = alone
            with suppress(OSError):
                write_text(self._memory(batch.full), json.dumps(alone))
        return batch, vectors

    def _memory(self, full: int) -> Path:
        """Where it is remembered how this encoder's short batches are treated: that depends on the processor."""
        import torch

        encoder, device = self.encoder, self.encoder.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
        about: list[Any] = [
            encoder.located.weights,
            encoder.located.pooling,
            str(encoder.dtype),
            name,
            torch.__version__,
        ]
        about += [full, torch.get_num_threads(), torch.backends.mkldnn.is_available()]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        return cache_root() / "short_batches" / f"{digest[:32]}.json"

    def _remembered(self, full: int) -> bool | None:
        with suppress(OSError, ValueError):
            answer = json.loads(self._memory(full).read_text())
            return answer if isinstance(answer, bool) else None
        return None

    def _group(self, rows: list[int], pieces: "list[Arriving]", end: _End) -> Group:
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


@contextmanager
def _given(prepared: Iterator[Any]) -> Iterator[Iterator[Any]]:
    yield prepared


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


@dataclass(frozen=True)
class BadImage:
    """An image that could not be decoded, and why."""

    content: str  # sha256 in hex
    reason: str

    @property
    def unread(self) -> bool:
        """Whether the planned bytes were not found; else they were, and are no image."""
        return self.reason.startswith((UNREAD, CHANGED))


def decode(item: Item, prepare: Callable[[list[bytes]], list[Any]]) -> Any:
    """An item's pixels as `prepare` gives them, if the file still holds what was planned and is an image."""
    return pixels(item, read(item), prepare)


def read(item: Item) -> bytes | BadImage:
    """Its bytes, if they are still what was planned. Raises Failed for what is not the file's fault."""
    assert not isinstance(item.source, str)
    try:
        data = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
    except OSError as error:
        if error.errno in OF_THE_FILE:
            return BadImage(item.content, f"{UNREAD}: {error.strerror}")
        raise Failed(
            f"{item.source!s} {UNREAD}: {error.strerror or error}. The image is not to blame: it was read when the run "
            "began.\nFinished parts are kept; run the same command again when its disk or network is well."
        ) from None
    if hashlib.sha256(data).hexdigest() != item.content:
        return BadImage(item.content, CHANGED)
    return data


def pixels(item: Item, data: bytes | BadImage, prepare: Callable[[list[bytes]], list[Any]]) -> Any:
    """What `read` read, decoded; or BadImage, where `prepare` says why not."""
    if isinstance(data, BadImage):
        return data
    with DECODING:
        (prepared,) = prepare([data])
    return BadImage(item.content, str(prepared)) if isinstance(prepared, images.Undecodable) else prepared


def prefetch(
    pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], window: int
) -> Iterator[Out]:
    """Results in order, at most `window` of them waiting: memory stays flat however long the list is.

    What `items` raises comes after the results of those before it.
    """
    waiting: deque[Future[Out]] = deque()
    failure: Exception | None = None
    left = iter(items)
    while failure is None:
        try:
            waiting.append(pool.submit(function, next(left)))
        except StopIteration:
            break
        except Exception as error:
            failure = error
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame, and with it all that was in hand
