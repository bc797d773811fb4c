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
    # The rate is that of the items after the first, which often waits for a start-up.
    start = last = 0.0
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if count == 1:
            start = last = now
        elif now - last >= _LOG_EVERY_SEC:
            last = now
            rate = (count - 1) / max(now - start, 1e-9)
            left = f", {(total - count) / rate:.0f} s left" if total else ""
            logging.info(f"{what}: {count}/{total or '?'} {unit}, {rate:.1f}/s{left}")
