"""How a fit tells its course: a bar on a terminal, a log line per pass elsewhere."""

from __future__ import annotations

import logging

from tqdm import tqdm

from espnet_dsu.quantizer.fit_report import FitPass


class FitProgress:
    """Context manager that shows each pass over the frames; rank 0 alone speaks."""

    def __init__(self, title: str, total: int, rank: int = 0) -> None:
        self.title = title
        self.silent = rank > 0
        hidden = True if self.silent else None
        self.bar = tqdm(total=total, desc=title, unit="pass", disable=hidden)

    def __enter__(self) -> FitProgress:
        return self

    def step(self, done: FitPass) -> None:
        """Show one pass."""
        self.bar.update()
        self.bar.set_postfix_str(str(done))
        if self.bar.disable and not self.silent:
            logging.info(f"k-means, {self.title}: {done}")

    def __exit__(self, *exception: object) -> None:
        self.bar.close()
