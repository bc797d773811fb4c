"""How shards get to worker processes, and what a worker process does with one."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet_dsu.corpus.job import Failure, Job, Placement, Worker
from espnet_dsu.corpus.plan import Shard
from espnet_dsu.corpus.seal import read_seal, write_seal
from espnet_dsu.corpus.shard_log import Report, ShardLog, describe, no_report
from espnet_dsu.errors import DSUError

LAUNCHERS = ("local", "dask")


@dataclass(frozen=True)
class ShardTask:
    """One shard to do; picklable, with absolute paths.

    Attributes:
        shard: its utterances.
        folder: where it goes; this name means that it is done.
        state: hash of the job and of the audio as it was when planned.
        log: file that tells which utterances are in work.
    """

    shard: Shard
    folder: Path
    state: str
    log: Path


@dataclass(frozen=True)
class ShardOutcome:
    """A finished shard and its utterances that gave nothing."""

    index: int
    failures: tuple[Failure, ...]


# A generator: closing it stops the workers.
Outcomes = Generator[ShardOutcome, None, None]


class Launcher(ABC):
    """Gets shards done by worker processes, wherever these are.

    Args:
        nj: number of worker processes.
        ngpu: number of GPUs that the processes of one machine share; 0 is CPU.
        conf: options of the launcher.

    Raises:
        DSUError: an option that the launcher has not.
    """

    def __init__(self, nj: int, ngpu: int, conf: Mapping[str, Any]) -> None:
        self.nj = nj
        self.ngpu = ngpu
        self.conf = dict(conf)

    @abstractmethod
    def run(self, job: Job, tasks: Sequence[ShardTask], report: Report) -> Outcomes:
        """Do every task once by :func:`run_shard`; yield outcomes as they come.

        When the iterator is closed, or raises, all workers stop at once: nothing that
        is finished is lost by that.

        Args:
            job: started by :func:`start_worker`, once in each worker process.
            tasks: longest audio first.
            report: may be given to ``run_shard`` for progress within shards; shards
                done elsewhere are counted when their outcome comes.

        Raises:
            DSUError: a shard failed as a whole, or workers keep dying.
        """


def make_launcher(name: str, nj: int, ngpu: int, conf: Mapping[str, Any]) -> Launcher:
    """Make the launcher of this name; Dask is imported only when it is asked for.

    Raises:
        DSUError: no such launcher, or one of ``conf`` is no option of it.
    """
    if name == "local":
        from espnet_dsu.corpus.local import LocalLauncher

        return LocalLauncher(nj, ngpu, conf)
    if name == "dask":
        from espnet_dsu.corpus.dask_launcher import DaskLauncher

        return DaskLauncher(nj, ngpu, conf)
    raise DSUError(f"launcher {name!r}: expected one of {', '.join(LAUNCHERS)}")


def place(rank: int, nj: int, ngpu: int) -> Placement:
    """Share this machine out: what worker ``rank`` of ``nj`` on it may use."""
    device = f"cuda:{rank % ngpu}" if ngpu else "cpu"
    # Two processes with all threads each get in each other's way badly.
    return Placement(device, max(1, num_cores() // nj) if nj > 1 else 0)


def num_cores() -> int:
    """Count the cores that this process may use, as a scheduler allotted them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_worker(job: Job, placement: Placement) -> Worker:
    """Load a job's model on its share of the machine, once per process."""
    if placement.num_threads and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(placement.num_threads)
    return job.start(placement)


def run_shard(
    worker: Worker, task: ShardTask, report: Report = no_report
) -> ShardOutcome:
    """Do one shard: all of its folder under the final name, or nothing.

    A finished shard is returned as it is. Of two workers that race, one leaves its
    folder, and both folders would have held the same.

    Raises:
        DSUError: the shard failed as a whole; names utterances in work, reason, log.
    """
    found = read_seal(task.folder, task.state)
    if found is not None:
        return ShardOutcome(task.shard.index, tuple(found))
    prefix = f".{task.folder.name}."
    with ShardLog(task.log, task.shard.index, report) as log:
        temporary = Path(tempfile.mkdtemp(".tmp", prefix, task.folder.parent))
        try:
            failures = worker.run(task.shard, temporary, log)
            # Audio that changed meanwhile: this run goes on with what it read, the
            # next one does not take it for what was planned.
            state = "" if task.shard.changed() else task.state
            write_seal(temporary, state, failures)
            _publish(temporary, task)
            log.close(failures)
        except Exception as error:
            log.failed(error)
            raise DSUError(
                f"shard {task.shard.index} failed at {log.in_work}: {describe(error)} "
                f"(see {task.log}); finished shards are kept: mend this and run again"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return ShardOutcome(task.shard.index, tuple(failures))


def _publish(temporary: Path, task: ShardTask) -> None:
    """Give a sealed folder its final name, unless another worker was faster."""
    try:
        os.rename(temporary, task.folder)
    except OSError:
        if not task.folder.is_dir():
            raise
        if read_seal(task.folder, task.state) is None:
            shutil.rmtree(task.folder)
            os.rename(temporary, task.folder)
