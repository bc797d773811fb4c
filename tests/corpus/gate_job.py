"""A job whose shards wait at a gate, so that tests can interfere in mid-run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from espnet_dsu.corpus.job import Failure, Job, Placement, Progress, Worker
from espnet_dsu.corpus.plan import Shard

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = 40.0) -> T:
    """Wait until ``condition()`` holds; return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


@dataclass(frozen=True)
class GateJob(Job):
    """Writes the names of its utterances, each shard when its gate is there.

    An utterance named ``killer`` kills its process, one named ``broken`` raises.
    """

    control: Path
    name = "gate"

    @property
    def fingerprint(self) -> str:
        """The same always."""
        return "gate"

    @property
    def gate(self) -> Path:
        """The file to make so that all shards go on."""
        return self.control / "gate"

    def pids(self, kind: str) -> list[int]:
        """Processes of ``started`` workers or of begun shards, in order of time."""
        lines = [path.name.split(".") for path in self.control.glob(f"{kind}.*")]
        return [int(pid) for _, _, pid in sorted(lines, key=lambda line: int(line[1]))]

    def note(self, kind: str) -> None:
        """Leave a file that says what happened when, and in which process."""
        (self.control / f"{kind}.{time.monotonic_ns()}.{os.getpid()}").touch()

    def start(self, placement: Placement) -> Worker:
        """Note it."""
        self.note("started")
        return GateWorker(self)


class GateWorker(Worker):
    """Waits at the gate."""

    def __init__(self, job: GateJob) -> None:
        self.job = job

    def run(self, shard: Shard, folder: Path, progress: Progress) -> list[Failure]:
        """Write the names; the last utterance counts as failed."""
        names = [utterance.name for utterance in shard.utterances]
        progress(shard.utterances, 0)
        self.job.note(f"shard{shard.index}")
        if "killer" in names:
            os.kill(os.getpid(), signal.SIGKILL)
        if "broken" in names:
            raise RuntimeError("out of order")
        own_gate = self.job.control / f"gate{shard.index}"
        wait_until(lambda: self.job.gate.exists() or own_gate.exists())
        progress((), 1)
        (folder / "names").write_text(" ".join(names))
        progress((), len(names) - 1)
        return [Failure(names[-1], shard.utterances[-1].source, "last")]
