"""Level, clipping and silence of waveforms whose measures are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.signal import signal_measures


def test_signal_measures_of_a_sine_are_its_amplitude_and_3_db_less():
    measures = signal_measures(0.5 * np.sin(2 * np.pi * np.arange(8000) / 80))
    assert measures.peak == pytest.approx(0.5)
    assert measures.rms_db == pytest.approx(20 * np.log10(0.5) - 10 * np.log10(2))
    assert (measures.clipping, measures.silence) == (0, 0)


def test_signal_measures_count_full_scale_samples_and_silent_blocks():
    wav = np.zeros(1024, dtype=np.float32)
    wav[:4] = [1.0, -1.0, 32767 / 32768, 0.99]
    measures = signal_measures(wav)
    assert measures.clipping == 3 / 1024
    assert measures.silence == 3 / 4


def test_signal_measures_of_digital_silence_are_finite():
    measures = signal_measures(np.zeros(300, dtype=np.float32))
    assert (measures.peak, measures.rms_db) == (0.0, pytest.approx(-120))
    assert measures.silence == 1.0


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=600))
def test_signal_measures_stay_in_their_ranges(samples):
    measures = signal_measures(np.array(samples))
    assert 0 <= measures.clipping <= 1 and 0 <= measures.silence <= 1
    peak_db = 20 * np.log10(max(measures.peak, 1e-6))
    assert -120 - 1e-9 <= measures.rms_db <= peak_db + 1e-9


@pytest.mark.parametrize("wav", [np.zeros(0), np.array([np.nan]), np.zeros((2, 3))])
def test_signal_measures_of_no_waveform_are_refused(wav):
    with pytest.raises(DSUError, match="waveform"):
        signal_measures(wav)
