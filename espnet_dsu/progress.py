"""Progress of long work: a bar on a terminal, lines in a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_LOG_EVERY_SEC = 10.0


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
    start = last = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= _LOG_EVERY_SEC:
            last = now
            rate = count / (now - start)
            left = f", {(total - count) / rate:.0f} s left" if total else ""
            logging.info(f"{what}: {count}/{total or '?'} {unit}, {rate:.1f}/s{left}")
