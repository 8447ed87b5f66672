"""Work that runs ahead in threads, as far as a window allows."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], window: int) -> Iterator[Out]:
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
        raise failure
