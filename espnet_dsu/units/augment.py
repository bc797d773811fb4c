"""Augmentation of units: what speaking otherwise, or less clearly, does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.units.sequence import collapse_units, expand_runs

_BLOCK_ROWS = 512


class UnitAugment:
    """Vary the units of an utterance at random; every option is off by default.

    Durations change first, which drops unit runs that get none; that is all that a
    model on unit runs sees of it. Then units change. With several streams, time changes
    for all alike, and units in each stream for itself.

    Args:
        duration_jitter: each run's duration is multiplied by a factor of its own, whose
            logarithm has a normal distribution of this standard deviation. With 0.5, a
            run of one frame is dropped with probability 0.08, one of two with 0.003.
        time_warp: a random point in time is moved, as in SpecAugment (Park et al.,
            2019, https://arxiv.org/abs/1904.08779), so that what lies before it is
            slower or faster by up to this share and what lies after makes up for it;
            the number of frames stays. Below 1.
        substitution: probability of each run to become another unit, one of its
            nearest.
        num_neighbours: how many nearest units that one is drawn from; all other units
            where there are no more.
        centroids: (K, D) of each stream; needed for substitution.

    Raises:
        DSUError: for a value out of range.
    """

    def __init__(
        self,
        duration_jitter: float = 0.0,
        time_warp: float = 0.0,
        substitution: float = 0.0,
        num_neighbours: int = 8,
        centroids: Sequence[np.ndarray] = (),
    ) -> None:
        _check("duration_jitter", duration_jitter, duration_jitter >= 0, "from 0 up")
        _check("time_warp", time_warp, 0 <= time_warp < 1, "from 0, below 1")
        _check("substitution", substitution, 0 <= substitution <= 1, "from 0 to 1")
        _check("num_neighbours", num_neighbours, num_neighbours >= 1, "from 1 up")
        self.duration_jitter, self.time_warp = duration_jitter, time_warp
        self.substitution = substitution
        self.neighbours: list[np.ndarray] = []
        if substitution:
            if not centroids:
                raise DSUError(
                    f"substitution is {substitution}, but there are no centroids to "
                    "tell which units are near; set it to 0"
                )
            self.neighbours = [nearest_units(c, num_neighbours) for c in centroids]

    @classmethod
    def of(
        cls, conf: Mapping[str, Any] | None, centroids: Sequence[np.ndarray]
    ) -> UnitAugment:
        """Make one from the ``augment`` of a config; None or {} changes nothing.

        Raises:
            DSUError: for an option that there is not.
        """
        known = ("duration_jitter", "time_warp", "substitution", "num_neighbours")
        unknown = sorted(set(conf or {}) - set(known))
        if unknown:
            raise DSUError(
                f"augment has no option {', '.join(unknown)}; it has {', '.join(known)}"
            )
        return cls(**(conf or {}), centroids=centroids)

    @property
    def is_on(self) -> bool:
        """Whether anything changes."""
        return bool(self.duration_jitter or self.time_warp or self.substitution)

    def __call__(self, units: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vary frame units (T,) or (T, S); give (T',) or (T', S), never empty."""
        runs, durations = collapse_units(units)
        if self.duration_jitter:
            durations = jitter_durations(durations, self.duration_jitter, rng)
        if self.time_warp:
            durations = warp_durations(durations, self.time_warp, rng)
        frames = expand_runs(runs, durations)
        if not self.substitution:
            return frames
        streams = frames.reshape(len(frames), -1).T
        changed = [
            substitute_units(stream, table, self.substitution, rng)
            for stream, table in zip(streams, self.neighbours, strict=True)
        ]
        return np.stack(changed, axis=1).reshape(frames.shape)


def jitter_durations(
    durations: np.ndarray, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Multiply durations (R,) by log-normal factors; some become 0, never all."""
    exact = durations * np.exp(spread * rng.standard_normal(len(durations)))
    rounded = np.floor(exact + 0.5).astype(durations.dtype)
    if len(rounded) and not rounded.any():
        rounded[exact.argmax()] = 1
    return rounded


def warp_durations(
    durations: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Move a point of time, and durations (R,) with it; their sum stays."""
    ends = np.cumsum(durations)
    total = ends[-1] if len(ends) else 0
    point = rng.uniform(0, total)
    moved = point + rng.uniform(-strength, strength) * min(point, total - point)
    # Boundaries are rounded, not durations, so that no frame is lost.
    warped = np.interp(ends, [0, point, total], [0, moved, total])
    bounds = np.floor(warped + 0.5).astype(durations.dtype)
    return np.diff(bounds, prepend=durations.dtype.type(0))


def substitute_units(
    units: np.ndarray, neighbours: np.ndarray, rate: float, rng: np.random.Generator
) -> np.ndarray:
    """Change whole runs of the frame units (T,) of one stream.

    Args:
        units: (T,).
        neighbours: (K, n), as of :func:`nearest_units`.
        rate: probability of a run to change.
        rng: where chance comes from.
    """
    runs, durations = collapse_units(units)
    choice = rng.integers(neighbours.shape[1], size=len(runs))
    changes = rng.random(len(runs)) < rate
    changed = np.where(changes, neighbours[runs, choice], runs)
    return expand_runs(changed.astype(units.dtype), durations)


def nearest_units(centroids: np.ndarray, number: int) -> np.ndarray:
    """List the units nearest to each, itself left out: (K, n), the nearest first.

    n is ``number``, or K - 1 where that is less. Memory is that of a few hundred rows
    of a K x K matrix.
    """
    centroids = np.asarray(centroids, dtype=np.float64)
    count = len(centroids)
    squares = np.square(centroids).sum(axis=1)
    rows = []
    for first in range(0, count, _BLOCK_ROWS):
        part = np.arange(first, min(first + _BLOCK_ROWS, count))
        scores = squares - 2 * centroids[part] @ centroids.T
        scores[np.arange(len(part)), part] = np.inf
        rows.append(
            np.argsort(scores, axis=1, kind="stable")[:, : min(number, count - 1)]
        )
    return np.concatenate(rows).astype(np.int32)


def _check(name: str, value: float, good: bool, expected: str) -> None:
    if not good:
        raise DSUError(f"augment: {name} is {value}, expected a number {expected}")
