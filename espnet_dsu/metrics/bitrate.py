"""Bits per second of a unit directory."""

from __future__ import annotations

import math
from pathlib import Path

from espnet_dsu.errors import DSUError
from espnet_dsu.units import UnitReader, collapse_units


def unit_bitrate(directory: str | Path) -> float:
    """Return the bits per second of the unit runs of all utterances together.

    Runs x streams x log2(K) / seconds, before unit pieces and without durations: the
    definition of the Interspeech 2024 discrete speech unit challenge (Chang et al.,
    2024).

    Raises:
        DSUError: The directory holds no units.
    """
    reader = UnitReader(Path(directory) / "units.scp")
    spec, runs, frames = reader.spec, 0, 0
    for units in reader.values():
        runs += len(collapse_units(units)[0])
        frames += len(units)
    if frames == 0:
        raise DSUError(f"{directory} holds no unit, expected at least one utterance")
    seconds = frames * spec.frame_shift / spec.sample_rate
    return runs * spec.num_streams * math.log2(spec.vocab_size) / seconds
