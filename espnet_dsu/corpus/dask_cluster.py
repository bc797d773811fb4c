"""A Dask cluster from the launcher's side: connect or start it, count its workers."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import CancelledError, Client, LocalCluster, SpecCluster

from espnet_dsu.corpus.dask_options import DaskOptions
from espnet_dsu.corpus.launcher import num_cores
from espnet_dsu.errors import DSUError

# A shard that kills this many workers and one more is taken to be the reason.
_ALLOWED_FAILURES = 2
_LOG_EVERY_SEC = 30.0


class DaskPool:
    """The workers of one scheduler, as many as there are at the moment.

    Args:
        nj: number of workers to start, where they are started here.
        ngpu: number of GPUs that the workers of one machine share.
        log_dir: where batch jobs write.

    Attributes:
        client: sends work to the workers, while the pool is open.
    """

    def __init__(self, options: DaskOptions, nj: int, ngpu: int, log_dir: Path) -> None:
        self.client: Client
        self._options = options
        self._nj, self._ngpu, self._log_dir = nj, ngpu, log_dir
        self._keep_up: Callable[[], None] = lambda: None
        self._lonely_since = self._logged = time.monotonic()

    @property
    def threads_per_worker(self) -> int:
        """Cores of one worker; 0 where whoever started the workers decided that."""
        if self._options.cluster == "local":
            return max(1, num_cores() // self._nj)
        return self._options.num_threads if self._options.cluster else 0

    @contextmanager
    def open(self) -> Iterator[DaskPool]:
        """Connect to the scheduler, or start one with its workers and end them after.

        Raises:
            DSUError: no scheduler answers, or nothing can be started.
        """
        _be_quiet()
        with ExitStack() as stack:
            stack.enter_context(dask.config.set(self._dask_config()))
            stack.callback(_restore_environment, dict(os.environ))
            if not self._options.cluster:
                self.client = stack.enter_context(_connect(self._options))
            else:
                cluster = stack.enter_context(self._start())
                self.client = stack.enter_context(Client(cluster))
            yield self

    def _dask_config(self) -> dict[str, Any]:
        options = self._options
        if not options.cluster:
            return {"distributed.comm.timeouts.connect": options.timeout_sec}
        # A user's own OMP_NUM_THREADS counts more than this.
        threads = "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS"
        return {
            "distributed.scheduler.allowed-failures": _ALLOWED_FAILURES,
            threads: self.threads_per_worker,
            # Dask's own would end every job after 30 minutes, and close the job of a
            # worker that is gone whether or not it has been replaced.
            f"jobqueue.{options.cluster}.walltime": None,
            "distributed.deploy.lost-worker-timeout": "1000 days",
        }

    def _start(self) -> SpecCluster:
        """Start workers, and a scheduler in this process."""
        if self._options.cluster == "local":
            return _start_local(self._nj)
        from espnet_dsu.corpus.dask_jobs import BatchJobs

        self._log_dir.mkdir(parents=True, exist_ok=True)
        jobs = BatchJobs(self._options, self._nj, self._ngpu, self._log_dir)
        self._keep_up = jobs.keep_up
        return jobs.cluster

    def count(self) -> int:
        """Count the workers, and replace lost ones where they are this run's own.

        Raises:
            DSUError: the scheduler is gone, or there was no worker for too long.
        """
        with scheduler_calls(self.client):
            workers = len(self.client.nthreads())
        self._keep_up()
        now = time.monotonic()
        if workers:
            self._lonely_since = now
        elif now - self._lonely_since > self._options.longest_wait_sec:
            raise DSUError(self._nobody_came())
        self._tell(workers, now)
        return workers

    def _tell(self, workers: int, now: float) -> None:
        """Log that workers are waited for, now and then."""
        wanted = self._nj if self._options.cluster else 1
        if workers < wanted and now - self._logged > _LOG_EVERY_SEC:
            self._logged = now
            waited = "" if workers else f", for {now - self._lonely_since:.0f} s now"
            logging.info(f"waiting for workers: {workers} of {wanted} are here{waited}")

    def _nobody_came(self) -> str:
        place = self._options.cluster or "the scheduler"
        advice = {
            "": f"start some: dask worker {self.client.scheduler.address} --nthreads 1",
            "local": "see what they wrote above",
        }.get(self._options.cluster, f"look at the queue, and at {self._log_dir}")
        return (
            f"launcher dask: no worker at {place} for "
            f"{self._options.longest_wait_sec:.0f} s; {advice}, or wait longer with "
            "wait_sec=<seconds>. Finished shards are kept: run again to go on"
        )


def _be_quiet() -> None:
    """Let Dask log no more than its errors; what concerns this run is raised."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)


def _restore_environment(before: dict[str, str]) -> None:
    """Undo what Dask sets here for workers of this machine: numbers of threads."""
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@contextmanager
def scheduler_calls(client: Client) -> Iterator[None]:
    """Turn what Dask says when the scheduler goes away in mid-run into one error."""
    lost = DSUError(
        "launcher dask: the connection to the scheduler was lost; finished shards are "
        "kept: see that the scheduler runs, and run the command again to go on"
    )
    if client.status != "running":
        raise lost
    try:
        yield
    except (OSError, CancelledError) as error:
        raise lost from error


def _start_local(nj: int) -> LocalCluster:
    return LocalCluster(
        n_workers=nj,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,  # Dask would pause workers whose libraries keep their memory
        preload=["espnet_dsu.corpus.dask_worker"],
        dashboard_address=":0",
        silence_logs="ERROR",
    )


def _connect(options: DaskOptions) -> Client:
    """Connect to a scheduler that runs already."""
    address = options.scheduler or _read_address(Path(options.scheduler_file))
    try:
        return Client(address, timeout=options.timeout_sec)
    except (OSError, ValueError) as error:
        raise DSUError(
            f"launcher dask: no scheduler answers at {address} ({error}); expected the "
            "address that `dask scheduler` printed, such as tcp://host:8786"
        ) from error


def _read_address(path: Path) -> str:
    try:
        return json.loads(path.read_text("utf-8"))["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DSUError(
            f"launcher dask: scheduler_file={path} does not tell an address ({error}); "
            "expected the file that `dask scheduler --scheduler-file` wrote"
        ) from error
