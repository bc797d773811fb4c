"""What a Dask worker process does: load the job once, do one shard at a time.

Only the order and the task come through Dask, and only failures go back. Audio, bundle
and shards are read and written in the file system that all machines share.
"""

from __future__ import annotations

import os
import pickle
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from distributed import get_worker

from espnet_dsu.corpus.job import Job, Placement, Worker
from espnet_dsu.corpus.launcher import (
    ShardOutcome,
    ShardTask,
    run_shard,
    start_worker,
)
from espnet_dsu.errors import DSUError
from espnet_dsu.version import __version__

_one_at_a_time = threading.Lock()
_loaded: tuple[Order, Worker] | None = None


@dataclass(frozen=True)
class Order:
    """What all shards of a run have in common.

    Attributes:
        job: the pickled job.
        ngpu: number of GPUs that the workers of a machine share; 0 is CPU.
        num_threads: cores of a worker; 0 is what it was started with.
        directory: what relative paths of a ``wav.scp`` begin at.
        mark: file that is there as long as the launcher wants shards.
        version: of the launcher's espnet_dsu.
    """

    job: bytes
    ngpu: int
    num_threads: int
    directory: Path
    mark: Path
    version: str = __version__


def dask_setup(worker: object) -> None:
    """Leave the terminal's Ctrl-C to the launcher; Dask calls it in local workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def do_shard(order: Order, task: ShardTask) -> ShardOutcome:
    """Do one shard in this worker process, after any other that it is at.

    Raises:
        DSUError: the shard failed, or this worker cannot do shards of this launcher.
    """

    def go_on(index: int, utterances: int, seconds: float) -> None:
        if not order.mark.exists():
            raise DSUError("the command that ordered it has ended")

    with _one_at_a_time:
        _check_version(order.version)
        with _working_directory(order):
            return run_shard(_worker_of(order), task, go_on)


def _worker_of(order: Order) -> Worker:
    """Load the job, once in each run: what it names may be another one in the next."""
    global _loaded
    if _loaded is None or _loaded[0] != order:
        _loaded = None  # two models at a time may be too much
        job: Job = pickle.loads(order.job)
        placement = Placement(_device(order.ngpu), order.num_threads)
        _loaded = order, start_worker(job, placement)
    return _loaded[1]


def _device(ngpu: int) -> str:
    """Share out the GPUs that this process sees by its number, which names end in."""
    if not ngpu:
        return "cpu"
    seen = min(ngpu, torch.cuda.device_count())
    if not seen:
        raise DSUError(f"{_here()} sees no GPU; give workers GPUs, or use --ngpu 0")
    number = re.search(r"(?:^|-)(\d+)$", str(get_worker().name))
    return f"cuda:{int(number[1]) % seen if number else 0}"


def _check_version(version: str) -> None:
    if version != __version__:
        raise DSUError(
            f"{_here()} has espnet_dsu {__version__}, the launcher has {version}; "
            "start workers from the launcher's environment"
        )


@contextmanager
def _working_directory(order: Order) -> Iterator[None]:
    """Be where the launcher is, in the same file system."""
    if not (order.directory.is_dir() and order.mark.exists()):
        raise DSUError(
            f"{_here()} does not see {order.mark.parent}, where the launcher writes; "
            "launcher, scheduler and workers need a file system that they share"
        )
    before = os.getcwd()
    os.chdir(order.directory)
    try:
        yield
    finally:
        os.chdir(before)


def _here() -> str:
    return f"worker {get_worker().name} on {socket.gethostname()}"
