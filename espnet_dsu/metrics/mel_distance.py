"""Log-mel spectrograms and how far two of them are apart."""

from __future__ import annotations

import librosa
import numpy as np

from espnet_dsu.audio import check_samples
from espnet_dsu.metrics.alignment import frame_by_frame, warp

_NUM_MELS = 80
# HiFi-GAN's window and shift are 1024 and 256 samples at 22.05 kHz.
_WINDOW_SEC, _SHIFT_SEC = 1024 / 22050, 256 / 22050
_SMALLEST = 1e-5


def log_mel(wav: np.ndarray, fs: int) -> np.ndarray:
    """Return the log-mel spectrogram (T, 80) of ``wav`` (N,): log of the magnitude.

    That of HiFi-GAN (Kong et al., 2020) at any rate: Hann window of 46.4 ms, shift of
    11.6 ms, 80 mel bands (Slaney's) up to half the sample rate, natural logarithm of
    magnitudes of at least 1e-5. Frame t is centred at t shifts.

    Raises:
        DSUError: no mono float waveform, no samples, or NaN or infinite ones.
    """
    check_samples(wav, "the waveform")
    window, shift = round(_WINDOW_SEC * fs), round(_SHIFT_SEC * fs)
    size = 1 << (window - 1).bit_length()
    # Zeros around: reflection needs recordings longer than half a window.
    spectrum = librosa.stft(
        wav.astype(np.float64),
        n_fft=size,
        hop_length=shift,
        win_length=window,
        pad_mode="constant",
    )
    bands = librosa.filters.mel(sr=fs, n_fft=size, n_mels=_NUM_MELS) @ np.abs(spectrum)
    return np.log(np.maximum(bands, _SMALLEST)).T


def mel_distance(
    ref: np.ndarray, gen: np.ndarray, fs: int, align: bool = False
) -> float:
    """Mean absolute difference of two log-mel spectrograms (see :func:`log_mel`).

    Args:
        ref, gen: waveforms (N,) and (N',) at ``fs``.
        align: compare along the path of dynamic time warping; else frame by frame up
            to the end of the shorter.

    Raises:
        DSUError: as :func:`log_mel`.
    """
    a, b = log_mel(ref, fs), log_mel(gen, fs)
    path = (warp if align else frame_by_frame)(a, b)
    return float(np.abs(a[path[:, 0]] - b[path[:, 1]]).mean())
