"""How a fit tells its course: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import time

from tqdm import tqdm

_LOG_EVERY_SEC = 10.0


class FitProgress:
    """Context manager that shows the inertia (per frame) of each iteration."""

    def __init__(self, total: int, num_frames: int, title: str) -> None:
        self.title = title
        self.num_frames = num_frames
        self.bar = tqdm(total=total, desc=title, unit="iter", disable=None)
        self.done = 0
        self.last_log = time.monotonic()

    def __enter__(self) -> FitProgress:
        return self

    def step(self, inertia: float) -> None:
        """Count one iteration that began with this inertia."""
        self.done += 1
        self.mean = inertia / self.num_frames
        self.bar.update()
        self.bar.set_postfix(inertia=f"{self.mean:.4f}")
        if self.bar.disable and time.monotonic() - self.last_log > _LOG_EVERY_SEC:
            self._log()

    def __exit__(self, *exception: object) -> None:
        self.bar.close()
        if self.done:
            self._log()

    def _log(self) -> None:
        self.last_log = time.monotonic()
        logging.info(
            "%s: iteration %d, inertia %.4f per frame", self.title, self.done, self.mean
        )
