"""A function and items -> its results in the items' order, worked out in threads: the same for any number of them.

For work that leaves Python's lock: LightGBM, onnxruntime, numpy and scipy on large arrays. Each item's work must depend
on that item alone. OpenMP has one thread inside of a worker.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from pipeline.runtime.errors import StageError

T = TypeVar("T")
R = TypeVar("R")

VARIABLE = "PIPELINE_WORKERS"
"""Environment variable that sets the number of workers."""
MOST = 8
"""Workers where the variable is not set, at most: each holds the memory of one item's work."""

_here = threading.local()


def count() -> int:
    """Return the number of workers: as many as there are processors for this process, unless `VARIABLE` says another.

    Raises
    ------
    StageError
        The variable is not a whole number of at least 1.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return min(_processors(), MOST)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise StageError(f"{VARIABLE}: got {text!r}; expected a number of workers, at least 1")
    return int(text)


def map_in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``work(item)`` for each item, in the items' order, while the next ones are worked on.

    As many results are under way as there are workers. Items are taken one by one, which bounds the memory. The first
    item that fails raises its error in its turn, and no further one begins. With one worker, and inside of a worker's
    own work, everything runs in the calling thread.

    Parameters
    ----------
    work
        Called with one item at a time, in any thread. It must write nothing that another item's work reads.
    items
        Taken in the calling thread.

    Examples
    --------
    >>> list(map_in_order(abs, [-3, 2, -1]))
    [3, 2, 1]
    """
    workers = count()
    if workers == 1 or getattr(_here, "working", False):
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, initializer=_begin)
    try:
        waiting: deque[Future[R]] = deque()
        for item in items:
            if len(waiting) == workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    _here.working = True
    # OpenMP keeps this number for each thread: LightGBM and scikit-learn then start none of their own
    threadpool_limits(1, user_api="openmp")


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
