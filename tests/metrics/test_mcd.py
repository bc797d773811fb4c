"""Mel-cepstra against what defines them, and their distortion against hand counts."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_dsu.errors import DSUError
from espnet_dsu.metrics.alignment import frame_by_frame
from espnet_dsu.metrics.mcd import (
    allpass_phase,
    analyse,
    mel_cepstral_distortion,
    mel_cepstrum,
    mel_warping,
)
from tests.speech import voice

OMEGA = np.linspace(0, np.pi, 257)


@settings(deadline=None, max_examples=20)
@given(st.floats(0, 0.6), st.integers(0, 99))
def test_mel_cepstrum_gives_the_log_spectrum_on_the_warped_axis(alpha, seed):
    smooth = np.random.default_rng(seed).normal(size=4) / 4
    log_magnitude = np.cos(np.outer(OMEGA, np.arange(4))) @ smooth
    found = mel_cepstrum(np.exp(2 * log_magnitude)[None], alpha, 60)[0]
    axis = allpass_phase(OMEGA, alpha)
    again = np.cos(np.outer(axis, np.arange(61))) @ found
    np.testing.assert_allclose(again, log_magnitude, atol=1e-5)


def test_mel_cepstrum_without_warping_is_the_cepstrum():
    cepstrum = np.array([0.3, -0.5, 0.25])
    power = np.exp(2 * np.cos(np.outer(OMEGA, np.arange(3))) @ cepstrum)
    found = mel_cepstrum(power[None], 0.0, 5)[0]
    np.testing.assert_allclose(found, [*cepstrum, 0, 0, 0], atol=1e-9)


# The values that are in use with SPTK.
@pytest.mark.parametrize(("fs", "alpha"), [(8000, 0.31), (16000, 0.42), (44100, 0.54)])
def test_mel_warping_is_near_the_usual_value(fs, alpha):
    assert mel_warping(fs) == pytest.approx(alpha, abs=0.02)


def test_mel_cepstral_distortion_is_kubicheks_formula():
    ref = np.array([[9.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    gen = np.array([[0.0, 1.0, 5.0], [7.0, 4.0, 0.0]])
    # Distances 3 and 4 of all but c0, of the two frames.
    expected = 10 / np.log(10) * np.sqrt(2) * (3 + 4) / 2
    path = frame_by_frame(ref, gen)
    assert mel_cepstral_distortion(ref, gen, path) == pytest.approx(expected)
    with pytest.raises(DSUError, match="3 mel-cepstral .* against 2"):
        mel_cepstral_distortion(ref, gen[:, :2], path)


@pytest.mark.parametrize("method", ["pyworld", "librosa"])
def test_analyse_level_moves_c0_only_and_is_repeatable(method):
    wav = voice(0.3, 0)
    one, louder = analyse(wav, 16000, method), analyse(4 * wav, 16000, method)
    assert one.cepstra.shape == (60, 25) and one.f0.shape == (60,)
    np.testing.assert_array_equal(one.cepstra, analyse(wav, 16000, method).cepstra)
    np.testing.assert_allclose(louder.cepstra[:, 1:], one.cepstra[:, 1:], atol=0.05)
    gain = np.median(louder.cepstra[:, 0] - one.cepstra[:, 0])
    assert gain == pytest.approx(np.log(4), abs=0.05)


def test_analyse_distortion_grows_with_noise():
    wav, noise = voice(0.5, 1), np.random.default_rng(0).normal(size=8000)
    clean = analyse(wav, 16000).cepstra
    path = frame_by_frame(clean, clean)
    found = []
    for level in (0.0, 0.01, 0.1):
        noisy = analyse((wav + level * noise).astype(np.float32), 16000).cepstra
        found.append(mel_cepstral_distortion(clean, noisy, path))
    assert found[0] == 0 and 0 < found[1] < found[2]


def test_analyse_without_pyworld_names_the_other_method(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(DSUError, match="pyworld cannot be imported.*librosa"):
        analyse(voice(0.1, 0), 16000)
