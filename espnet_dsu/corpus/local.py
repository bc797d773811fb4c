"""Shards done on this machine: in this process, or in several worker processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from typing import Any

from espnet_dsu.corpus.job import Job, Placement, Worker
from espnet_dsu.corpus.launcher import (
    Launcher,
    Outcomes,
    ShardOutcome,
    ShardTask,
    place,
    run_shard,
    start_worker,
)
from espnet_dsu.corpus.shard_log import Report, last_line
from espnet_dsu.errors import DSUError

_MAX_RESTARTS = 2


class LocalLauncher(Launcher):
    """This process alone for ``nj`` up to 1, else a pool of processes."""

    def __init__(self, nj: int, ngpu: int, conf: Mapping[str, Any]) -> None:
        super().__init__(nj, ngpu, conf)
        if conf:
            raise DSUError(
                f"launcher_conf {', '.join(conf)}: the local launcher has no options; "
                "leave it out, or choose --launcher dask"
            )

    def run(self, job: Job, tasks: Sequence[ShardTask], report: Report) -> Outcomes:
        """Do every task; a pool whose worker died is started again, at most twice."""
        if self.nj <= 1 or len(tasks) <= 1:
            worker = start_worker(job, place(0, 1, self.ngpu))
            yield from (run_shard(worker, task, report) for task in tasks)
            return
        left = {task.shard.index: task for task in tasks}
        for restart in range(_MAX_RESTARTS + 1):
            try:
                for outcome in self._run_pool(job, list(left.values())):
                    del left[outcome.index]
                    yield outcome
                return
            except BrokenProcessPool:
                begun = [task for task in left.values() if task.log.exists()]
                again = "starting again" if restart < _MAX_RESTARTS else "giving up"
                logging.warning(
                    f"a worker process died (killed, or out of memory); {len(left)} of "
                    f"{len(tasks)} shards are left; {again}; " + _in_work(begun)
                )
        raise DSUError(
            f"a worker process died {_MAX_RESTARTS + 1} times (killed, or out of "
            f"memory); {_in_work(begun)}; finished shards are kept: run the command "
            "again, with a smaller --nj or --batch_sec"
        )

    def _run_pool(self, job: Job, tasks: Sequence[ShardTask]) -> Outcomes:
        nj = min(self.nj, len(tasks))
        context = multiprocessing.get_context("spawn")
        placements = context.SimpleQueue()
        for rank in range(nj):
            placements.put(place(rank, nj, self.ngpu))
        # Only this process holds the end to write to: it is closed when this process
        # stops, however that happens, and then no worker is left behind.
        reader, writer = context.Pipe(duplex=False)
        arguments = (job, placements, reader)
        with ProcessPoolExecutor(nj, context, _enter_worker, arguments) as pool:
            try:
                futures = [pool.submit(_run_shard, task) for task in tasks]
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:
                writer.close()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _in_work(tasks: Sequence[ShardTask]) -> str:
    lines = [f"{task.log}: {last_line(task.log)}" for task in tasks]
    return "; ".join(lines) or "no shard was in work"


_job: Job | None = None
_placement: Placement | None = None
_worker: Worker | None = None


def _enter_worker(
    job: Job, placements: SimpleQueue[Placement], reader: Connection
) -> None:
    """Begin a worker process; what it loads comes later, where errors are passed on."""
    global _job, _placement
    _job, _placement = job, placements.get()
    # The terminal's Ctrl-C is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_starter, args=(reader,), daemon=True).start()


def _exit_with_starter(reader: Connection) -> None:
    with suppress(EOFError, OSError):
        reader.recv()
    os._exit(1)


def _run_shard(task: ShardTask) -> ShardOutcome:
    global _worker
    assert _job is not None and _placement is not None
    if _worker is None:
        _worker = start_worker(_job, _placement)
    return run_shard(_worker, task)
