"""This machine's engine: turns parts into part files. Decoding runs ahead in threads while the encoder works."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, tee
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from extract import contents
from extract.ahead import ahead
from extract.decoding import BadImage, decode
from extract.machine import cores
from extract.parts import Folder
from extract.plan import Item, Part

BATCH_SIZE = {"cpu": 8, "cuda": 256}  # images; on a CPU small batches stay in the cache
PART_ROWS = {"cpu": {"text": 2048, "image": 256}, "cuda": {"text": 32768, "image": 4096}}  # some seconds' work
PART_BYTES = 1 << 27  # of vectors: a grid is fifty times as long as a pooled vector
LENGTH_STEP = 8  # word pieces: texts are padded to a multiple of this

In = TypeVar("In")
Report = Callable[[int], object]  # takes a number of finished rows


class EncodesText(Protocol):
    dim: int
    device: torch.device
    max_tokens: int

    def tokenize(self, texts: list[str]) -> list[list[int]]: ...
    def encode(self, token_ids: list[list[int]], pad_to: int | None = None) -> Tensor: ...


class EncodesImages(Protocol):
    dim: int
    device: torch.device

    def encode(self, pixels: Tensor) -> Tensor: ...


def part_rows(kind: str, device: str, dim: int, batch_size: int) -> int:
    """Rows of a part, so that its vectors [rows, dim] stay small in memory; whole batches of images."""
    rows = min(PART_ROWS[device][kind], PART_BYTES // (4 * dim))
    return rows if kind == "text" else max(1, rows // batch_size) * batch_size


def text_lengths(texts: Sequence[str], encoder: EncodesText, chunk: int = 4096) -> list[int]:
    """Word pieces of each text before truncation; a chunk at a time, so that token ids never pile up."""
    starts = range(0, len(texts), chunk)
    return [len(ids) for start in starts for ids in encoder.tokenize(list(texts[start : start + chunk]))]


def encode_texts(parts: Iterable[Part], encoder: EncodesText, folder: Folder, batch_size: int, done: Report) -> None:
    """Encode and write parts of texts. batch_size: a batch holds batch_size x max_tokens word pieces at the most."""
    budget = batch_size * encoder.max_tokens
    planned, ahead_of_it = tee(_tokenized(part, encoder, budget) for part in parts)
    with batches_at_once(encoder.device, batch_size) as each_of:
        batches = (
            ([texts.token_ids[row] for row in rows], length) for texts in ahead_of_it for length, rows in texts.batches
        )
        encoded = each_of(lambda batch: encoder.encode(batch[0], pad_to=batch[1]), batches)
        for texts in planned:
            found = []
            for _, rows in texts.batches:
                found.append((rows, next(encoded)))
                done(len(rows))
            vectors = np.empty((len(texts.token_ids), encoder.dim), dtype=np.float32)
            for rows, its_vectors in found:
                vectors[rows] = its_vectors.cpu().numpy()
            folder.write(texts.part, vectors, np.array([len(ids) for ids in texts.token_ids], dtype=np.int32))


@dataclass(frozen=True)
class Tokenized:
    """A part's texts as word pieces, and how they are batched."""

    part: Part
    token_ids: list[list[int]]
    batches: list[tuple[int, list[int]]]  # word pieces to pad to, rows of the part


def _tokenized(part: Part, encoder: EncodesText, budget: int) -> Tokenized:
    """Texts of one padded length go together, as many as the budget of word pieces allows."""
    token_ids = encoder.tokenize([str(item.source) for item in part.items])

    def padded(row: int) -> int:
        steps = max(1, -(-len(token_ids[row]) // LENGTH_STEP))  # a tokenizer without specials makes nothing of no text
        return min(encoder.max_tokens, steps * LENGTH_STEP)

    batches = [
        (length, list(rows))
        for length, group in groupby(sorted(range(len(token_ids)), key=padded), key=padded)
        for rows in _batched(list(group), max(1, budget // length))
    ]
    return Tokenized(part, token_ids, batches)


def encode_images(
    parts: Sequence[Part], encoder: EncodesImages, folder: Folder, batch_size: int, done: Report
) -> list[BadImage]:
    """Encode and write parts of images; return those that cannot be decoded, whose parts are written without them."""
    items = [item for part in parts for item in part.items]
    threads = contents.readers(items[0].source, cores()) if items else 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        decoded = ahead(pool, decode, items, window=max(3 * batch_size, 2 * threads))
        return encode_decoded(parts, decoded, encoder, folder, batch_size, done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def encode_decoded(
    parts: Sequence[Part],
    decoded: Iterator[np.ndarray | BadImage],
    encoder: EncodesImages,
    folder: Folder,
    batch_size: int,
    done: Report,
) -> list[BadImage]:
    """As `encode_images`. decoded: the pixels of the parts' items, in their order."""
    bad: list[BadImage] = []
    batches = ((rows, [next(decoded) for _ in rows]) for part in parts for rows in _batched(part.items, batch_size))
    with batches_at_once(encoder.device, batch_size) as each_of:
        encoded = each_of(partial(_encode_batch, encoder, batch_size), batches)
        for part in parts:
            good: list[Item] = []
            vectors: list[Tensor] = []
            for rows in _batched(part.items, batch_size):
                batch = next(encoded)
                good += batch.good
                bad += batch.bad
                vectors.append(batch.vectors)
                done(len(rows))
            if good:
                folder.write(Part(tuple(good)), torch.cat(vectors).cpu().numpy())
    return bad


@contextmanager
def batches_at_once(device: torch.device, batch_size: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` over batches. A GPU takes one after another; of a CPU's cores each takes one of its own.

    Cores that share a batch wait for each other in every layer, and all of them for one that decodes meanwhile. Only
    batches larger than BATCH_SIZE are shared, for memory's sake.
    """
    threads = torch.get_num_threads()
    at_once = min(threads, threads * BATCH_SIZE["cpu"] // batch_size) if device.type == "cpu" else 1
    if at_once <= 1:
        yield map
        return
    pool = ThreadPoolExecutor(at_once, "encode", initializer=torch.set_num_threads, initargs=(threads // at_once,))
    try:
        yield lambda function, batches: ahead(pool, function, batches, window=2 * at_once)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        torch.set_num_threads(threads)  # part of what a thread sets holds for all


@dataclass(frozen=True)
class Encoded:
    """What became of a batch of images."""

    good: list[Item]
    bad: list[BadImage]
    vectors: Tensor  # [good, D] float32 on the encoder's device, not waited for


def _encode_batch(
    encoder: EncodesImages, batch_size: int, batch: tuple[Sequence[Item], list[np.ndarray | BadImage]]
) -> Encoded:
    """A short batch is filled up with its last image: every batch has one shape, so what an image's vector is does not
    depend on how many others were left to encode.
    """
    items, decoded = batch
    good = [item for item, result in zip(items, decoded, strict=True) if not isinstance(result, BadImage)]
    bad = [result for result in decoded if isinstance(result, BadImage)]
    pixels = [result for result in decoded if not isinstance(result, BadImage)]
    if not pixels:
        return Encoded(good, bad, torch.empty(0, encoder.dim, device=encoder.device))
    filled = np.stack(pixels + pixels[-1:] * (batch_size - len(pixels)))
    ready = torch.from_numpy(filled).permute(0, 3, 1, 2)  # NHWC in memory: channels last
    if encoder.device.type == "cuda":
        ready = ready.pin_memory().to(encoder.device, non_blocking=True)
    return Encoded(good, bad, encoder.encode(ready)[: len(pixels)])


def _batched(items: Sequence[In], size: int) -> Iterator[Sequence[In]]:
    return (items[start : start + size] for start in range(0, len(items), size))
