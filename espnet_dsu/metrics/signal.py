"""What a waveform shows without a reference: level, clipping, silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espnet_dsu.audio import check_samples

# The largest sample that 16 bits hold.
_FULL_SCALE = 32767 / 32768
# Digital silence has no level in dB; this one is below the last of 16 bits.
_FLOOR_DB = -120.0
_SILENT_DB = -60.0
_BLOCK_SAMPLES = 256


@dataclass(frozen=True)
class SignalMeasures:
    """Level and damage of a waveform.

    Attributes:
        peak: the largest magnitude; 1.0 is full scale.
        rms_db: root mean square in dB of full scale, at least -120.
        clipping: share (0 to 1) of the samples at full scale or beyond.
        silence: share (0 to 1) of the blocks of 256 samples whose root mean square is
            below -60 dB of full scale.
    """

    peak: float
    rms_db: float
    clipping: float
    silence: float


def signal_measures(wav: np.ndarray) -> SignalMeasures:
    """Measure ``wav`` (N,), float samples where 1.0 is full scale.

    Raises:
        DSUError: no mono float waveform, no samples, or NaN or infinite ones.
    """
    check_samples(wav, "the waveform")
    wav = wav.astype(np.float64)
    starts = np.arange(0, len(wav), _BLOCK_SAMPLES)
    lengths = np.diff(np.append(starts, len(wav)))
    blocks = _decibels(np.add.reduceat(wav**2, starts) / lengths)
    return SignalMeasures(
        peak=float(np.abs(wav).max()),
        rms_db=float(_decibels(np.mean(wav**2))),
        clipping=float((np.abs(wav) >= _FULL_SCALE).mean()),
        silence=float((blocks < _SILENT_DB).mean()),
    )


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))
