"""How far two F0 tracks are apart, in pitch and in voicing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_CENTS_PER_NEPER = 1200 / math.log(2)


@dataclass(frozen=True)
class F0Error:
    """Differences of two F0 tracks.

    Attributes:
        log_f0_rmse: root mean square of the difference of natural logarithms, over
            pairs of frames voiced in both; None without any.
        voicing_error: percent of the pairs that are voiced in one only (Nakatani et
            al., 2008).
    """

    log_f0_rmse: float | None
    voicing_error: float

    @property
    def f0_rmse_cents(self) -> float | None:
        """``log_f0_rmse`` in cents: 1200 to the octave."""
        rmse = self.log_f0_rmse
        return None if rmse is None else _CENTS_PER_NEPER * rmse


def f0_error(ref: np.ndarray, gen: np.ndarray, path: np.ndarray) -> F0Error:
    """Compare F0 in Hz, 0 where unvoiced.

    Args:
        ref, gen: (T,) and (T',).
        path: pairs of frames, (P, 2); see :mod:`espnet_dsu.metrics.alignment`.
    """
    a, b = ref[path[:, 0]].astype(np.float64), gen[path[:, 1]].astype(np.float64)
    both = (a > 0) & (b > 0)
    rmse = None
    if both.any():
        rmse = float(np.sqrt(np.mean(np.log(b[both] / a[both]) ** 2)))
    return F0Error(rmse, 100 * float(((a > 0) != (b > 0)).mean()))
