"""Log-mel spectrograms and their distance."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from espnet_dsu.metrics.alignment import frame_by_frame, warp
from espnet_dsu.metrics.mel_distance import log_mel, mel_distance
from tests.speech import voice


def test_log_mel_is_librosas_mel_spectrogram_of_magnitudes():
    wav = voice(0.5, 0, 22050)
    power_one = librosa.feature.melspectrogram(
        y=wav.astype(np.float64),
        sr=22050,
        n_fft=1024,
        hop_length=256,
        n_mels=80,
        power=1.0,
        pad_mode="constant",
    )
    np.testing.assert_allclose(log_mel(wav, 22050), np.log(power_one).T, atol=1e-6)


@pytest.mark.parametrize("fs", [8000, 16000, 24000])
def test_log_mel_has_no_empty_band_at_any_rate(fs):
    noise = np.random.default_rng(0).normal(size=fs).astype(np.float32)
    mel = log_mel(noise, fs)
    assert mel.shape[1] == 80 and mel.min() > np.log(1e-5) + 1


def test_mel_distance_of_a_louder_copy_is_the_log_of_the_gain():
    wav = voice(0.5, 1)
    assert mel_distance(wav, wav, 16000) == 0
    assert mel_distance(wav, 2 * wav, 16000) == pytest.approx(np.log(2))


def test_mel_distance_aligned_forgives_a_late_start():
    wav = voice(1.0, 2)
    late = np.concatenate([0.001 * voice(0.2, 3), wav])
    straight = mel_distance(wav, late, 16000)
    assert mel_distance(wav, late, 16000, align=True) < 0.7 * straight


def test_frame_by_frame_stops_at_the_shorter():
    path = frame_by_frame(np.zeros((3, 2)), np.zeros((5, 2)))
    assert path.tolist() == [[0, 0], [1, 1], [2, 2]]


def test_warp_repeated_frames_belong_to_their_originals():
    ref = np.array([[0.0], [5.0], [9.0]])
    gen = ref[[0, 0, 1, 2, 2, 2]]
    path = warp(ref, gen)
    assert path.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3], [2, 4], [2, 5]]
