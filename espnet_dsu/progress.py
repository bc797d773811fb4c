"""Progress of long work: a bar on a terminal, lines in a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_LOG_EVERY_SEC = 10.0


class _Rhythm:
    """Says when the next log line is due."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._last >= _LOG_EVERY_SEC
        self._last = now if due else self._last
        return due


def track(
    items: Iterable[T], total: int | None, what: str, unit: str = "utt"
) -> Iterator[T]:
    """Pass items on while showing count, rate and time left.

    On a terminal a bar; elsewhere a log line every ten seconds.
    """
    bar = tqdm(items, total=total, desc=what, unit=unit, disable=None, leave=False)
    if not bar.disable:
        yield from bar
        return
    # The rate is that of the items after the first, which often waits for a start-up.
    start = time.monotonic()
    rhythm = _Rhythm()
    for count, item in enumerate(items, 1):
        yield item
        if count == 1:
            start, rhythm = time.monotonic(), _Rhythm()
        elif rhythm.is_due():
            rate = (count - 1) / max(time.monotonic() - start, 1e-9)
            left = f", {(total - count) / rate:.0f} s left" if total else ""
            logging.info(f"{what}: {count}/{total or '?'} {unit}, {rate:.1f}/s{left}")


class CorpusProgress:
    """Context manager that shows how much audio of a corpus is done, and how fast.

    On a terminal a bar; elsewhere a log line every ten seconds, and one at the end.

    Args:
        what: is going on.
        utterances: how many there are.
        seconds: of audio there are.
    """

    def __init__(self, what: str, utterances: int, seconds: float) -> None:
        self.what = what
        self.utterances = utterances
        self.seconds = seconds
        self.done, self.done_sec = 0, 0.0
        self._kept_sec = 0.0
        self._start = time.monotonic()
        self._rhythm = _Rhythm()
        shape = "{percentage:3.0f}%|{bar}| {desc}"
        self._bar = tqdm(total=100, disable=None, leave=False, bar_format=shape)

    def __enter__(self) -> CorpusProgress:
        return self

    def keep(self, utterances: int, seconds: float) -> None:
        """Count what an earlier run has done; it says nothing about the speed."""
        self._kept_sec += seconds
        self._count(utterances, seconds)

    def advance(self, utterances: int, seconds: float) -> None:
        """Count what is done since last."""
        self._count(utterances, seconds)
        if self._bar.disable and self._rhythm.is_due():
            logging.info(f"{self.what}: {self}")

    def __str__(self) -> str:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        speed = (self.done_sec - self._kept_sec) / elapsed
        text = (
            f"{self.done}/{self.utterances} utt, {self.done_sec / 3600:.3f}/"
            f"{self.seconds / 3600:.3f} h of audio, {speed:.1f} x real time"
        )
        if speed > 0 and self.done < self.utterances:
            left = max(0.0, self.seconds - self.done_sec) / speed
            text += f", {tqdm.format_interval(left)} left"
        return text

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if self._bar.disable:
            logging.info(f"{self.what}: {self}")

    def _count(self, utterances: int, seconds: float) -> None:
        self.done += utterances
        self.done_sec += seconds
        if not self._bar.disable:
            share = self.done_sec / self.seconds if self.seconds else 1.0
            self._bar.set_description_str(f"{self.what}: {self}", refresh=False)
            self._bar.update(100 * share - self._bar.n)
