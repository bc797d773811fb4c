"""The same work on many items, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from espnet_dsu.errors import DSUError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], nj: int
) -> Iterator[Result]:
    """Yield ``work`` of each item, in their order, from ``nj`` processes.

    Args:
        work: can be pickled where ``nj`` is above 1.
        items: as ``work``.
        nj: processes; 1 works in this one.

    Raises:
        DSUError: ``nj`` is not positive, or a process died.
    """
    if nj < 1:
        raise DSUError(f"nj is {nj}, expected the number of processes, from 1 up")
    if nj == 1 or len(items) < 2:
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(min(nj, len(items)), get_context("spawn"))
    try:
        yield from pool.map(work, items, chunksize=min(16, -(-len(items) // nj)))
    except BrokenProcessPool:
        raise DSUError(
            "a worker process died, perhaps for want of memory; run again with a "
            "smaller --nj"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
