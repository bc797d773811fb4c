"""Sequences of units: frame units, unit runs and their durations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from espnet_dsu.errors import DSUError


def collapse_units(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Collapse repeats of frame units into runs and durations.

    With several streams a run ends where any stream changes.

    Args:
        units: frame units, (T,) or (T, S).

    Returns:
        runs (R,) or (R, S), and durations (R,) in frames, which sum to T.
    """
    units = np.asarray(units)
    if len(units) == 0:
        return units.copy(), np.zeros(0, dtype=np.int32)
    changed = units[1:] != units[:-1]
    if changed.ndim == 2:
        changed = changed.any(axis=1)
    # The first frame always starts a run, whatever its unit: nothing outside the
    # sequence (an utterance id, a previous utterance) takes part in the comparison.
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
    durations = np.diff(np.concatenate([starts, [len(units)]]))
    return units[starts], durations.astype(np.int32)


def expand_runs(runs: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Give the frame units back: the inverse of :func:`collapse_units`."""
    return np.repeat(np.asarray(runs), np.asarray(durations), axis=0)


@dataclass(frozen=True, eq=False)
class UnitSequence:
    """The units of one utterance, with what is needed to place them in time.

    Attributes:
        units: (T,) or (T, S) int32; S parallel streams.
        durations: (T,) int32, in frames; all ones where ``units`` are frame units.
        frame_shift: distance of two frames, in samples at ``sample_rate``.
        sample_rate: of the upstream, in Hz.
        fingerprint: of the tokenizer bundle that made the units.
    """

    units: np.ndarray
    durations: np.ndarray
    frame_shift: int
    sample_rate: int
    fingerprint: str = ""

    def __post_init__(self) -> None:
        units = np.asarray(self.units)
        durations = np.asarray(self.durations)
        if units.ndim not in (1, 2) or not np.issubdtype(units.dtype, np.integer):
            raise DSUError(
                f"units have shape {units.shape} and type {units.dtype}, expected "
                "integers of shape (T,) or (T, S)"
            )
        if durations.shape != units.shape[:1]:
            raise DSUError(
                f"{durations.shape[0] if durations.ndim else 0} durations for "
                f"{len(units)} units, expected one each"
            )
        if units.size and units.min() < 0:
            raise DSUError(
                f"unit {units.min()} is negative; units count from 0 "
                "(cut padding, -1, off before)"
            )
        if durations.size and durations.min() < 1:
            raise DSUError(f"duration {durations.min()} is below one frame")
        object.__setattr__(self, "units", units.astype(np.int32, copy=False))
        object.__setattr__(self, "durations", durations.astype(np.int32, copy=False))

    @classmethod
    def from_frames(
        cls, units: np.ndarray, frame_shift: int, sample_rate: int, fingerprint: str
    ) -> UnitSequence:
        """Make a sequence of frame units, each one frame long."""
        ones = np.ones(len(units), dtype=np.int32)
        return cls(np.asarray(units), ones, frame_shift, sample_rate, fingerprint)

    def __len__(self) -> int:
        return len(self.units)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UnitSequence):
            return NotImplemented
        return (
            np.array_equal(self.units, other.units)
            and np.array_equal(self.durations, other.durations)
            and (self.frame_shift, self.sample_rate, self.fingerprint)
            == (other.frame_shift, other.sample_rate, other.fingerprint)
        )

    @property
    def num_frames(self) -> int:
        """Length in frames, whether collapsed or not."""
        return int(self.durations.sum())

    @property
    def num_streams(self) -> int:
        """Number of parallel streams S; 1 for units of shape (T,)."""
        return 1 if self.units.ndim == 1 else self.units.shape[1]

    @property
    def duration_sec(self) -> float:
        """Length in seconds: frames times frame shift."""
        return self.num_frames * self.frame_shift / self.sample_rate

    def expand(self) -> UnitSequence:
        """Give frame units: one unit per frame, every duration 1."""
        units = expand_runs(self.units, self.durations)
        return replace(self, units=units, durations=np.ones(len(units), np.int32))

    def collapse(self) -> UnitSequence:
        """Give unit runs: neighbours differ, durations keep the time."""
        runs, durations = collapse_units(self.expand().units)
        return replace(self, units=runs, durations=durations)

    def slice_sec(self, start_sec: float, end_sec: float) -> UnitSequence:
        """Cut out the frames that begin in [start_sec, end_sec).

        A collapsed sequence stays collapsed; runs are cut at the borders.
        """
        if not 0 <= start_sec <= end_sec:
            raise DSUError(
                f"slice from {start_sec} to {end_sec} s: expected 0 <= start <= end"
            )
        rate = self.sample_rate / self.frame_shift
        # A frame that begins at the border, up to rounding, belongs to the right side.
        first, last = (math.ceil(x * rate - 1e-6) for x in (start_sec, end_sec))
        frames = self.expand().units[first:last]
        cut = replace(self, units=frames, durations=np.ones(len(frames), np.int32))
        return cut if (self.durations == 1).all() else cut.collapse()

    def bitrate(self, *vocab_sizes: int) -> float:
        """Bits per second of the units as they stand, without their durations.

        Units x log2(vocabulary) / seconds, summed over the streams: the definition of
        the Interspeech 2024 discrete speech unit challenge (Chang et al., 2024).

        Args:
            vocab_sizes: K of each stream, or one for all.

        Raises:
            DSUError: another number of them than streams.
        """
        if len(vocab_sizes) not in (1, self.num_streams):
            raise DSUError(
                f"{len(vocab_sizes)} numbers of units for {self.num_streams} streams, "
                "expected one for each, or one for all"
            )
        if self.num_frames == 0:
            return 0.0
        sizes = vocab_sizes * (self.num_streams // len(vocab_sizes))
        return len(self) * sum(map(math.log2, sizes)) / self.duration_sec
