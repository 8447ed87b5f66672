"""What bounds stage 1 besides its encoder: decoding alone, with the threads that it decodes with."""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from extract.ahead import ahead
from extract.decoding import decode

from extract import places
from extract.dataset import Meme
from extract.machine import cores
from extract.plan import Item


def decode_seconds(memes: Sequence[Meme]) -> float:
    """Seconds to read, check and decode these memes' images when nothing else is done."""
    items = [Item(places.digest(meme.image), meme.image) for meme in memes]
    threads = places.readers(items[0].source, cores())
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        start = time.perf_counter()
        deque(ahead(pool, decode, items, window=4 * threads), maxlen=0)
        return time.perf_counter() - start
