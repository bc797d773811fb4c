"""Which frames of two recordings belong together."""

from __future__ import annotations

import numpy as np


def frame_by_frame(ref: np.ndarray, gen: np.ndarray) -> np.ndarray:
    """Pair frames of the same number, up to the end of the shorter: (P, 2) indices.

    Args:
        ref, gen: frames, (T, ...) and (T', ...).
    """
    return np.repeat(np.arange(min(len(ref), len(gen)))[:, None], 2, axis=1)


def warp(ref: np.ndarray, gen: np.ndarray) -> np.ndarray:
    """Pair frames by dynamic time warping (Sakoe & Chiba, 1978): (P, 2) indices.

    The path goes from the first pair to the last in steps of one frame in either or
    both; its sum of Euclidean distances is the smallest there is.

    Args:
        ref, gen: frames, (T, D) and (T', D).
    """
    # Half a second of imports, for those who align only.
    from librosa.sequence import dtw

    _, path = dtw(np.ascontiguousarray(ref.T), np.ascontiguousarray(gen.T))
    return path[::-1]
