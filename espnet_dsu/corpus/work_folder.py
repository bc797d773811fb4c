"""Where the shards of a job lie while it runs, and what is left of other plans."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from espnet_dsu.corpus.job import Job
from espnet_dsu.corpus.launcher import ShardTask
from espnet_dsu.corpus.plan import Shard
from espnet_dsu.units.files import atomic_path

SHARDS, LOGS, MANIFEST = ".shards", "log", "manifest.json"


def prepare(job: Job, shards: Sequence[Shard], root: Path) -> list[ShardTask]:
    """Name the folder and log of each shard; remove what belongs to other plans.

    A shard's folder is named by the hash of its job and audio, so that one which is
    there is the right one, whatever the corpus was cut into when it was made.
    """
    work, logs = root / SHARDS, root / LOGS
    states = [shard.state(job.fingerprint) for shard in shards]
    tasks = [
        ShardTask(shard, work / state, state, logs / f"{job.name}.{shard.index}.log")
        for shard, state in zip(shards, states)
    ]
    work.mkdir(exist_ok=True)
    for path in work.iterdir():
        if path.name not in states:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in root.glob(".*.tmp"):  # of a process that was killed while it wrote
        path.unlink()
    _remove_logs(job, logs)
    _write_manifest(job, tasks, work / MANIFEST)
    return tasks


def remove(job: Job, root: Path) -> None:
    """Remove all shards and their logs."""
    shutil.rmtree(root / SHARDS)
    _remove_logs(job, root / LOGS)


def _remove_logs(job: Job, logs: Path) -> None:
    for log in logs.glob(f"{job.name}.*.log"):
        log.unlink()
    if logs.is_dir() and not any(logs.iterdir()):
        logs.rmdir()


def _write_manifest(job: Job, tasks: Sequence[ShardTask], path: Path) -> None:
    """Leave the plan beside the shards, for whoever looks at a run."""
    shards = [
        {
            "state": task.state,
            "utterances": len(task.shard.utterances),
            "seconds": round(task.shard.duration_sec, 3),
        }
        for task in tasks
    ]
    content = {"job": job.name, "fingerprint": job.fingerprint, "shards": shards}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
