"""Options of the Dask launcher, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from espnet_dsu.errors import DSUError

BATCH_SYSTEMS = ("slurm", "pbs", "sge", "lsf")
CLUSTERS = ("local", *BATCH_SYSTEMS)
_PLACES = ("scheduler", "scheduler_file", "cluster")
_JOB_OPTIONS = (
    *("queue", "account", "time", "mem", "num_threads", "ngpu"),
    *("job_extra", "job_setup", "interface"),
)
_ADVICE = (
    "give one of scheduler=tcp://host:8786, scheduler_file=<path> and "
    f"cluster={'|'.join(CLUSTERS)}"
)


@dataclass(frozen=True)
class DaskOptions:
    """Where the workers are, or how to get them.

    One of the first three is given. Those from ``queue`` on are for batch systems.

    Attributes:
        scheduler: address of a running scheduler.
        scheduler_file: file in which a running scheduler wrote its address.
        cluster: start workers: local, slurm, pbs, sge or lsf.
        timeout_sec: how long a scheduler may take to answer.
        wait_sec: how long to go without any worker; 0: a day in a queue, else 5
            minutes.
        queue: partition or queue.
        account: account or project.
        time: limit of a job as its system writes it; not given, the queue's own.
        mem: memory of a job.
        num_threads: cores of a job.
        ngpu: GPUs that a job asks for; not given, one if there is ``--ngpu``.
        job_extra: further options for the head of the job script, between ``;``.
        job_setup: commands to run before the worker, between ``;``.
        interface: network interface between the machines, such as ib0.
    """

    scheduler: str = ""
    scheduler_file: str = ""
    cluster: str = ""
    timeout_sec: float = 30.0
    wait_sec: float = 0.0
    queue: str = ""
    account: str = ""
    time: str = ""
    mem: str = "8G"
    num_threads: int = 1
    ngpu: int | None = None
    job_extra: str = ""
    job_setup: str = ""
    interface: str = ""

    @property
    def longest_wait_sec(self) -> float:
        """How long to go without any worker."""
        return self.wait_sec or (86400.0 if self.cluster in BATCH_SYSTEMS else 300.0)


def missing_package(error: ModuleNotFoundError) -> DSUError:
    """Say how to install what the Dask launcher needs."""
    return DSUError(
        f"launcher dask needs the package {error.name}: "
        "pip install 'espnet_dsu[dask]', here and where the workers run"
    )


def parse_options(conf: Mapping[str, Any]) -> DaskOptions:
    """Check the options of ``--launcher_conf``; values are text or already typed.

    Raises:
        DSUError: unknown option, wrong value, or options that do not go together.
    """
    known = {field.name: str(field.type) for field in fields(DaskOptions)}
    for name in conf:
        if name not in known:
            raise DSUError(_unknown(name, list(known)))
    options = DaskOptions(**{n: _typed(n, v, known[n]) for n, v in conf.items()})
    given = [name for name in _PLACES if getattr(options, name)]
    if len(given) != 1:
        raise DSUError(
            f"launcher dask: {' and '.join(given) or 'none'} given; {_ADVICE}"
        )
    if options.cluster and options.cluster not in CLUSTERS:
        raise DSUError(
            f"launcher dask: cluster is {options.cluster!r}, expected one of "
            f"{', '.join(CLUSTERS)}"
        )
    for name in _JOB_OPTIONS:
        if name in conf and options.cluster not in BATCH_SYSTEMS:
            raise DSUError(
                f"launcher dask: {name} says what a batch system's job asks for; it "
                f"goes with cluster={'|'.join(BATCH_SYSTEMS)}, not with {given[0]}="
                f"{getattr(options, given[0])}"
            )
    return options


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1)
    return (
        f"launcher dask: unknown option {name!r}"
        + (f"; did you mean {near[0]!r}?" if near else "")
        + f" (there are {', '.join(known)})"
    )


def _typed(name: str, value: Any, kind: str) -> Any:
    """Give the value as the option's type; numbers must not be negative."""
    if kind == "str":
        return str(value)
    wanted = float if kind == "float" else int
    try:
        number = wanted(value)
    except (TypeError, ValueError):
        number = -1
    if number < (1 if name == "num_threads" else 0):
        raise DSUError(
            f"launcher dask: {name} is {value!r}, expected "
            f"{'a number of seconds' if wanted is float else 'an integer'}"
        )
    return number
