"""This machine's engine: turns parts into part files. Decoding runs ahead in threads while the encoder works."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from extract import contents
from extract.ahead import ahead
from extract.decoding import BadImage, decode
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
    for part in parts:
        token_ids = encoder.tokenize([str(item.source) for item in part.items])
        vectors = _text_vectors(token_ids, encoder, batch_size * encoder.max_tokens, done)
        folder.write(part, vectors, np.array([len(ids) for ids in token_ids], dtype=np.int32))


def _text_vectors(token_ids: list[list[int]], encoder: EncodesText, budget: int, done: Report) -> np.ndarray:
    """[n, D] float32. Texts of one padded length go together, as many as the budget of word pieces allows."""

    def padded(row: int) -> int:
        steps = max(1, -(-len(token_ids[row]) // LENGTH_STEP))  # a tokenizer without specials makes nothing of no text
        return min(encoder.max_tokens, steps * LENGTH_STEP)

    vectors = np.empty((len(token_ids), encoder.dim), dtype=np.float32)
    pending: list[tuple[list[int], Tensor]] = []
    for length, group in groupby(sorted(range(len(token_ids)), key=padded), key=padded):
        rows = list(group)
        size = max(1, budget // length)
        for batch in (rows[start : start + size] for start in range(0, len(rows), size)):
            pending.append((batch, encoder.encode([token_ids[row] for row in batch], pad_to=length)))
            done(len(batch))
    for batch, encoded in pending:
        vectors[batch] = encoded.cpu().numpy()
    return vectors


def encode_images(
    parts: Sequence[Part], encoder: EncodesImages, folder: Folder, batch_size: int, done: Report
) -> list[BadImage]:
    """Encode and write parts of images; return those that cannot be decoded, whose parts are written without them."""
    items = [item for part in parts for item in part.items]
    # one a core: fewer slow down one of the encoder's threads, for which the others then wait
    threads = contents.readers(items[0].source, len(os.sched_getaffinity(0))) if items else 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        decoded = ahead(pool, decode, items, window=max(3 * batch_size, 2 * threads))
        return [bad for part in parts for bad in encode_image_part(part, decoded, encoder, folder, batch_size, done)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def encode_image_part(
    part: Part,
    decoded: Iterator[np.ndarray | BadImage],
    encoder: EncodesImages,
    folder: Folder,
    batch_size: int,
    done: Report,
) -> list[BadImage]:
    """Encode and write one part. decoded: its items' pixels, in their order, then whatever comes next."""
    bad: list[BadImage] = []
    good: list[Item] = []
    vectors: list[Tensor] = []
    for batch in _batched(part.items, batch_size):
        pixels = []
        for item in batch:
            result = next(decoded)
            if isinstance(result, BadImage):
                bad.append(result)
            else:
                good.append(item)
                pixels.append(result)
        if pixels:
            vectors.append(_encode_pixels(pixels, encoder, batch_size))
        done(len(batch))
    if good:
        folder.write(Part(tuple(good)), torch.cat(vectors).cpu().numpy())
    return bad


def _encode_pixels(pixels: list[np.ndarray], encoder: EncodesImages, batch_size: int) -> Tensor:
    """[n, D] float32 on the encoder's device, not waited for.

    A short batch is filled up with its last image: every batch has one shape, so what an image's vector is does not
    depend on how many others were left to encode.
    """
    filled = pixels + pixels[-1:] * (batch_size - len(pixels))
    batch = torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2)  # NHWC in memory: channels last
    if encoder.device.type == "cuda":
        batch = batch.pin_memory().to(encoder.device, non_blocking=True)
    return encoder.encode(batch)[: len(pixels)]


def _batched(items: Sequence[In], size: int) -> Iterator[Sequence[In]]:
    return (items[start : start + size] for start in range(0, len(items), size))
