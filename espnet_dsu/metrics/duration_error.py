"""How far the durations of unit runs are from the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.scp import read_scp
from espnet_dsu.units import UnitReader, collapse_units


@dataclass(frozen=True)
class DurationError:
    """Differences of the durations of an utterance's unit runs.

    Attributes:
        frames: mean absolute difference, in frames.
        relative: mean of the absolute difference over the true duration, in percent.
    """

    frames: float
    relative: float


def duration_error(ref: np.ndarray, gen: np.ndarray) -> DurationError:
    """Compare durations (R,) in frames, run by run.

    Raises:
        DSUError: different numbers of runs, or none.
    """
    if len(ref) != len(gen) or not len(ref):
        raise DSUError(
            f"durations of {len(gen)} unit runs for {len(ref)} of the reference, "
            "expected the same runs, one at least"
        )
    difference = np.abs(np.asarray(gen, np.float64) - ref)
    return DurationError(
        float(difference.mean()), 100 * float((difference / ref).mean())
    )


def read_durations(path: str | Path) -> dict[str, np.ndarray]:
    """Read ``utt d1 d2 ...``, durations of unit runs in frames.

    Raises:
        DSUError: the file cannot be read, or a duration is no whole number above 0.
    """
    durations = {}
    for utt, value in read_scp(path).items():
        fields = value.split()
        if bad := [field for field in fields if not field.isdecimal() or field == "0"]:
            raise DSUError(
                f"{path}: {utt} has the duration {bad[0]!r}, expected whole frames "
                "above 0"
            )
        durations[utt] = np.array(fields, dtype=np.int64)
    return durations


class UnitDurations(Mapping[str, np.ndarray]):
    """Durations (R,) of the unit runs of each utterance of a ``units.scp``."""

    def __init__(self, units_scp: str | Path) -> None:
        self._reader = UnitReader(units_scp)

    def __getitem__(self, utt: str) -> np.ndarray:
        return collapse_units(self._reader[utt])[1]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._reader)

    def __len__(self) -> int:
        return len(self._reader)
