"""What the engine runs over a corpus: one job, many shards, any worker process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from espnet_dsu.corpus.plan import Shard, Utterance


@dataclass(frozen=True)
class Failure:
    """An utterance that gave nothing."""

    name: str
    source: str
    reason: str


@dataclass(frozen=True)
class Placement:
    """The share of a machine that one worker process may use.

    Attributes:
        device: of torch: ``cpu``, ``cuda:1``.
        num_threads: for torch; 0 leaves torch's own choice.
    """

    device: str = "cpu"
    num_threads: int = 0


class Progress(Protocol):
    """How a worker tells how far it is; called before and after each batch."""

    def __call__(self, begun: Iterable[Utterance], done: int) -> None:
        """Say which utterances are begun now, and how many are done since last."""


class Worker(ABC):
    """A job's side of one worker process: holds the model, loaded once."""

    @abstractmethod
    def run(self, shard: Shard, folder: Path, progress: Progress) -> list[Failure]:
        """Write what ``shard`` gives into ``folder``, an empty one of its own.

        The engine gives the folder its final name when this returns, so nothing here
        needs to be atomic. What is written depends on the shard alone.

        Returns:
            the utterances that failed, in the shard's order.
        """


class Job(ABC):
    """Work on every utterance of a corpus; small and picklable."""

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all, and only, what decides the shards' content beside the audio."""

    @abstractmethod
    def start(self, placement: Placement) -> Worker:
        """Load the model; called once in each worker process."""
