"""Batch jobs that are Dask workers, submitted through dask-jobqueue and kept up."""

from __future__ import annotations

import getpass
import logging
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from distributed.core import Status

from espnet_dsu.corpus.dask_job_script import job_settings, memory_bytes
from espnet_dsu.corpus.dask_options import DaskOptions, missing_package
from espnet_dsu.errors import DSUError

# Importing dask-jobqueue makes Ctrl-C end the program with success.
_ctrl_c = signal.getsignal(signal.SIGINT)
try:
    import dask_jobqueue
except ModuleNotFoundError as missing:
    raise missing_package(missing) from missing
finally:
    signal.signal(signal.SIGINT, _ctrl_c)

# Lists a user's jobs that wait or run, a line each that begins with the number.
_LISTINGS = {
    "slurm": "squeue --noheader --format=%A --user={}",
    "pbs": "qselect -u {}",
    "sge": "qstat -u {}",
    "lsf": "bjobs -noheader -o jobid -u {}",
}
_LOOK_EVERY_SEC = 10.0
_MOST_STILLBORN = 3


def cluster_class(system: str) -> Any:
    """Return dask-jobqueue's class for a batch system."""
    return getattr(dask_jobqueue, f"{system.upper()}Cluster")


def check_jobs(options: DaskOptions) -> None:
    """Check what can be checked before a job is submitted.

    Raises:
        DSUError: an amount of memory that cannot be meant, or no command here to
            submit jobs with.
    """
    memory_bytes(options)
    command = cluster_class(options.cluster).job_cls.submit_command
    if shutil.which(command) is None:
        raise DSUError(
            f"launcher dask: cluster={options.cluster} submits jobs by {command}, "
            "which is not here; run this where jobs are submitted from"
        )


class BatchJobs:
    """Jobs of one worker each, with a scheduler in this process for them.

    Attributes:
        cluster: that scheduler, with its jobs.
    """

    def __init__(self, options: DaskOptions, nj: int, ngpu: int, log_dir: Path) -> None:
        self._system, self._nj, self._log_dir = options.cluster, nj, log_dir
        self._refused: list[str] = []
        self._arrived: set[str] = set()
        self._missing: set[str] = set()
        self._stillborn = 0
        self._looked = time.monotonic()
        kind = cluster_class(self._system)
        self.cluster = kind(
            job_cls=_telling(kind.job_cls, self._refused),
            scheduler_options={"dashboard_address": ":0"},
            **job_settings(options, ngpu, log_dir),
        )
        script = self.cluster.job_script().strip()
        logging.info(f"each of {nj} {self._system} jobs:\n{script}")
        self.cluster.scale(jobs=nj)

    def keep_up(self) -> None:
        """Replace jobs that have ended.

        Raises:
            DSUError: jobs are refused, or end again and again before they are at work.
        """
        here = {worker.name for worker in list(self.cluster.scheduler.workers.values())}
        self._arrived |= here
        self._stillborn = 0 if here else self._stillborn
        jobs = dict(self.cluster.workers)
        if self._refused and not any(job.job_id for job in jobs.values()):
            raise DSUError(
                f"launcher dask: {self._system} took no job: {self._refused[0]}"
            )
        now = time.monotonic()
        if len(here) < self._nj and now - self._looked > _LOOK_EVERY_SEC:
            self._looked = now
            self._replace({n: j for n, j in jobs.items() if n not in here and j.job_id})

    def _replace(self, absent: dict[str, Any]) -> None:
        """Submit anew those jobs without a worker that are not in the queue."""
        listed = _list_jobs(self._system)
        if listed is None:
            return
        missing = {name for name, job in absent.items() if job.job_id not in listed}
        # Twice, as a job may be too new for the list.
        ended, self._missing = missing & self._missing, missing - self._missing
        self._stillborn += len(ended - self._arrived)
        if self._stillborn >= _MOST_STILLBORN:
            raise DSUError(
                f"launcher dask: {self._stillborn} jobs ended before they were at "
                f"work; their output is in {self._log_dir}: "
                + _last_words(self._log_dir)
            )
        self._arrived -= ended
        for name in sorted(ended):
            logging.info(f"job {absent[name].job_id} has ended; submitting another one")

        async def forget() -> None:
            for name in ended:
                await self.cluster.workers.pop(name).close()

        self.cluster.sync(forget)
        self.cluster.scale(jobs=self._nj)


def _telling(kind: Any, refused: list[str]) -> Any:
    """Make jobs note that they were refused, which Dask writes to a log only."""

    class TellingJob(kind):
        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, ValueError, OSError) as error:
                refused.append(" ".join(str(error).split()))
                logging.warning(f"a job was not submitted: {refused[-1]}")
                self.status = Status.running

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # else the cluster would not close

    return TellingJob


def _list_jobs(system: str) -> set[str] | None:
    """Return the numbers of this user's jobs; None where the system does not say."""
    command = shlex.split(_LISTINGS[system].format(getpass.getuser()))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        logging.warning(f"{command[0]} does not tell which jobs there are: {error}")
        return None
    if done.returncode and "No unfinished job" not in done.stderr:  # LSF's way
        logging.warning(f"{command[0]} does not tell which jobs there are: {done}")
        return None
    return set(re.findall(r"^\s*(\d+)", done.stdout, re.MULTILINE))


def _last_words(log_dir: Path) -> str:
    """Return the last line of the newest file that is not empty."""
    files = [path for path in log_dir.glob("*") if path.stat().st_size]
    if not files:
        return "(nothing)"
    newest = max(files, key=lambda path: path.stat().st_mtime)
    return newest.read_text("utf-8", errors="replace").splitlines()[-1]
