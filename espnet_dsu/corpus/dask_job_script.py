"""What one batch job asks for, in the words of Slurm, PBS, SGE and LSF."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes

from espnet_dsu.corpus.dask_options import DaskOptions
from espnet_dsu.errors import DSUError

_LEAST_MEMORY = 100_000_000


def job_settings(options: DaskOptions, ngpu: int, log_dir: Path) -> dict[str, Any]:
    """Say in dask-jobqueue's words what one job asks for and runs."""
    by_system, directives = _system_settings(options, ngpu)
    directives += _parts(options.job_extra)
    settings = {
        "cores": options.num_threads,
        "memory": f"{memory_bytes(options)}B",
        "processes": 1,
        "queue": options.queue or None,
        "walltime": options.time or None,
        "interface": options.interface or None,
        "job_name": "espnet_dsu",
        "log_directory": str(log_dir),
        "python": shlex.quote(sys.executable),
        # One shard at a time. Memory is the batch system's to watch: Dask would pause
        # a worker for good whose libraries keep what they once allocated.
        "worker_extra_args": ["--nthreads", "1", "--memory-limit", "0"],
        "job_script_prologue": _prologue(options),
        **by_system,
    }
    # Without any, those of the user's own Dask configuration count.
    return settings | ({"job_extra_directives": directives} if directives else {})


def _prologue(options: DaskOptions) -> list[str]:
    lines = [
        f"cd {shlex.quote(os.getcwd())}",  # some systems start jobs in the home folder
        f"export OMP_NUM_THREADS={options.num_threads}",
    ]
    if "PYTHONPATH" in os.environ:
        path = os.pathsep.join(
            map(os.path.abspath, os.environ["PYTHONPATH"].split(":"))
        )
        lines.append(f"export PYTHONPATH={shlex.quote(path)}")
    return lines + _parts(options.job_setup)


def _system_settings(
    options: DaskOptions, ngpu: int
) -> tuple[dict[str, Any], list[str]]:
    """What each system calls account, cores, memory and GPUs where Dask leaves it."""
    gpus = min(ngpu, 1) if options.ngpu is None else options.ngpu
    cores, memory = options.num_threads, memory_bytes(options)
    if options.cluster == "slurm":
        gpu_lines = [f"--gres=gpu:{gpus}"] if gpus else []
        return {"account": options.account or None}, gpu_lines
    if options.cluster == "pbs":
        chunk = f"select=1:ncpus={cores}:mem={-(-memory // 2**20)}MB"
        chunk += f":ngpus={gpus}" if gpus else ""
        return {"account": options.account or None, "resource_spec": chunk}, []
    settings: dict[str, Any] = {"project": options.account or None}
    if options.cluster == "lsf":
        return settings, [f'-gpu "num={gpus}"'] if gpus else []
    # SGE: every resource is a matter of the site; these are the usual names.
    lines = ["-S /bin/bash", f"-l mem_free={-(-memory // cores // 2**20)}M"]
    lines += [f"-pe smp {cores}"] if cores > 1 else []
    return settings, lines + ([f"-l gpu={gpus}"] if gpus else [])


def memory_bytes(options: DaskOptions) -> int:
    """Return the memory of a job in bytes; 8G are 8 GiB, as batch systems count."""
    text = options.mem.strip()
    try:
        amount = parse_bytes(f"{text}iB" if text[-1:].upper() in (*"KMGT",) else text)
    except ValueError:
        amount = 0
    if amount < _LEAST_MEMORY:
        raise DSUError(
            f"launcher dask: mem is {options.mem!r}, expected the memory of one job, "
            "such as 8G or 500M"
        )
    return amount


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]
