"""Shards on a Dask cluster: many machines, or the processes of one.

Dask sends pickles between its processes, so whoever reaches the scheduler can run code
as you: use one that only you, or people you trust, can reach. What is loaded from a
bundle is never unpickled.
"""

from __future__ import annotations

import pickle
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espnet_dsu.corpus.dask_options import (
    BATCH_SYSTEMS,
    missing_package,
    parse_options,
)
from espnet_dsu.corpus.job import Job
from espnet_dsu.corpus.launcher import Launcher, Outcomes, ShardOutcome, ShardTask
from espnet_dsu.corpus.shard_log import Report, last_line
from espnet_dsu.errors import DSUError

try:
    from distributed import CancelledError, Future, KilledWorker, TimeoutError, wait
except ModuleNotFoundError as missing:
    raise missing_package(missing) from missing

from espnet_dsu.corpus.dask_cluster import DaskPool, scheduler_calls
from espnet_dsu.corpus.dask_worker import Order, do_shard

_POLL_SEC = 1.0


class DaskLauncher(Launcher):
    """Gets shards done by the workers of a Dask scheduler.

    A worker does one shard at a time and loads the model once. A shard whose worker
    dies goes to another one.

    Args:
        nj: number of workers to start; a running scheduler's are used as they are.
        ngpu: number of GPUs that the workers of one machine share; 0 is CPU.
        conf: see :class:`~espnet_dsu.corpus.dask_options.DaskOptions`.
    """

    def __init__(self, nj: int, ngpu: int, conf: Mapping[str, Any]) -> None:
        super().__init__(nj, ngpu, conf)
        self.options = parse_options(conf)
        if self.options.cluster in BATCH_SYSTEMS:
            from espnet_dsu.corpus.dask_jobs import check_jobs

            check_jobs(self.options)

    def run(self, job: Job, tasks: Sequence[ShardTask], report: Report) -> Outcomes:
        """Do every task; shards are counted when they are done, as they finish."""
        nj = min(self.nj, len(tasks))
        pool = DaskPool(self.options, nj, self.ngpu, tasks[0].log.parent / "dask")
        with _mark(tasks[0].folder.parent) as mark, pool.open():
            threads = pool.threads_per_worker
            order = Order(pickle.dumps(job), self.ngpu, threads, Path.cwd(), mark)
            yield from _run(pool, order, tasks)


@contextmanager
def _mark(folder: Path) -> Iterator[Path]:
    """Keep a file that tells workers that they see this file system and are wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = (folder / f".run-{uuid.uuid4().hex}").absolute()
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _run(pool: DaskPool, order: Order, tasks: Sequence[ShardTask]) -> Outcomes:
    """Keep each worker at one shard; more than that would only wait behind it."""
    waiting, running = deque(tasks), dict[Future, ShardTask]()
    try:
        while waiting or running:
            free = pool.count() - len(running)
            with scheduler_calls(pool.client):
                for _ in range(min(free, len(waiting))):
                    task = waiting.popleft()
                    running[_submit(pool, order, task)] = task
                done = _wait_for_any(running)
            for future in done:
                with scheduler_calls(pool.client):
                    outcome = _outcome(future, running.pop(future))
                yield outcome
    finally:
        if running and pool.client.status == "running":
            pool.client.cancel(list(running), force=True)


def _submit(pool: DaskPool, order: Order, task: ShardTask) -> Future:
    key = f"shard-{task.shard.index}-{order.mark.name}"
    return pool.client.submit(do_shard, order, task, key=key, pure=False)


def _wait_for_any(running: Mapping[Future, ShardTask]) -> list[Future]:
    """Return the finished ones, after a moment at the latest."""
    if not running:
        time.sleep(_POLL_SEC)
        return []
    try:
        done = wait(list(running), timeout=_POLL_SEC, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return []
    return sorted(done.done, key=lambda future: running[future].shard.index)


def _outcome(future: Future, task: ShardTask) -> ShardOutcome:
    """Return what a finished shard gave, or raise what went wrong with it."""
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if isinstance(error, (DSUError, CancelledError)):
        raise error
    names = [utterance.name for utterance in task.shard.utterances]
    of_shard = f"shard {task.shard.index} ({names[0]} to {names[-1]})"
    if isinstance(error, KilledWorker):
        reason = (
            f"{error.allowed_failures + 1} workers died at it (killed, or out of "
            f"memory: a smaller --batch_sec needs less); {last_line(task.log)}"
        )
    elif isinstance(error, (ImportError, AttributeError)):
        reason = f"a worker has not what the launcher has: {error}"
    else:
        reason = f"{type(error).__name__}: {error}"
    raise DSUError(
        f"{of_shard} failed: {reason}; see {task.log}. Finished shards are kept: "
        "mend this and run again"
    ) from error
