"""Time of unit runs: other durations, and values at the frames that go along."""

from __future__ import annotations

import numpy as np

from espnet_dsu.errors import DSUError

# Framing at the edges differs between extractors by so many frames.
_SLACK = 2


def scale_durations(durations: np.ndarray, factor: float) -> np.ndarray:
    """Make durations (R,) longer by ``factor``, each at least one frame.

    Borders are rounded, not durations: otherwise runs of a few frames would not change
    with a factor such as 1.1.
    """
    ends = np.floor(np.cumsum(durations) * factor + 0.5)
    scaled = np.diff(ends, prepend=0.0)
    return np.maximum(scaled, 1).astype(durations.dtype)


def follow_durations(
    values: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Stretch values of the frames of runs to the runs' new durations.

    Args:
        values: (sum(before),).
        before: durations (R,) of the runs in ``values``.
        after: durations (R,) that they get.

    Returns:
        (sum(after),); each frame has the value of the frame that was in its place.
    """
    starts = np.cumsum(before) - before
    within = np.arange(after.sum()) - np.repeat(np.cumsum(after) - after, after)
    share = (within + 0.5) / np.repeat(after, after)
    offsets = np.floor(share * np.repeat(before, after)).astype(int)
    return values[np.repeat(starts, after) + offsets]


def fit_frames(values: np.ndarray, num_frames: int, name: str) -> np.ndarray:
    """Cut values (T',) to ``num_frames``, or add zeros up to there.

    Raises:
        DSUError: the lengths differ by more than framing explains.
    """
    if abs(len(values) - num_frames) > _SLACK or not len(values):
        raise DSUError(
            f"{name} has {len(values)} frames and the units {num_frames}, expected "
            f"the same, give or take {_SLACK}; extract it at the units' frame rate"
        )
    missing = max(0, num_frames - len(values))
    return np.pad(values, (0, missing))[:num_frames]
