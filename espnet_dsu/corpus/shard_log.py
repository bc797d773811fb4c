"""The log of one shard: what a killed process was at, why a failed one failed."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from espnet_dsu.corpus.job import Failure
from espnet_dsu.corpus.plan import Utterance
from espnet_dsu.errors import DSUError

# Called with the shard's index, and utterances and seconds that are done since last.
Report = Callable[[int, int, float], None]


def no_report(index: int, utterances: int, seconds: float) -> None:
    """Tell nobody; for workers in processes whose progress is counted by shards."""


class ShardLog:
    """Context manager that is the :class:`Progress` of one shard.

    The file tells which utterances are in work. It goes away when all went well, and
    ends in a line that names utterance and reason when not.
    """

    def __init__(self, path: Path, index: int, report: Report) -> None:
        self.path = path
        self.index = index
        self._report = report
        self._in_work: deque[Utterance] = deque()

    @property
    def in_work(self) -> str:
        """Names of the utterances that are begun and not done."""
        return " ".join(u.name for u in self._in_work) or "no utterance"

    def __enter__(self) -> ShardLog:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "w", encoding="utf-8", buffering=1)
        return self

    def __call__(self, begun: Iterable[Utterance], done: int) -> None:
        """Note the utterances begun, and that so many of the earlier ones are done."""
        seconds = sum(self._in_work.popleft().duration_sec for _ in range(done))
        begun = list(begun)
        self._in_work.extend(begun)
        if begun:
            self._write(f"in work: {' '.join(u.name for u in begun)}")
        if done:
            self._report(self.index, done, seconds)

    def failed(self, error: BaseException) -> None:
        """Write where ``error`` came from, and at last what it says of whom."""
        trace = "".join(traceback.format_exception(error))
        # A full disk, perhaps the error itself, must not hide the error.
        with suppress(OSError):
            self._file.write(trace)
            self._write(f"{self.in_work}: {describe(error)}")

    def close(self, failures: Sequence[Failure]) -> None:
        """End a shard that is done; lines are left for its failures only."""
        for failure in failures:
            self._write(f"{failure.name}: {failure.source}: {failure.reason}")
        if not failures:
            self.path.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._file.close()

    def _write(self, line: str) -> None:
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def describe(error: BaseException) -> str:
    """Put an error into one line, with its type unless the message says it all."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DSUError) else f"{type(error).__name__}: {text}"


def last_line(path: Path) -> str:
    """Return the last line of a log; nothing if there is no log."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return lines[-1] if lines else ""
