"""Mel-cepstral distortion, and the mel-cepstra that it compares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.f0 import extract_f0, require_package

_ORDER = 24
_SHIFT_SEC = 0.005
# What rounding to 16 bits adds to every recording: the shape of less is no sound.
_ROUNDING_POWER = (1 / 32768) ** 2 / 12


@dataclass(frozen=True)
class Analysis:
    """A recording as vocoders describe it, every 5 ms (to the nearest sample).

    Attributes:
        f0: (T,) in Hz, 0 where unvoiced.
        cepstra: mel-cepstra c0 to c24, (T, 25).
    """

    f0: np.ndarray
    cepstra: np.ndarray


def analyse(wav: np.ndarray, fs: int, method: str = "pyworld") -> Analysis:
    """Analyse ``wav`` (N,).

    Args:
        wav: float samples.
        fs: their rate.
        method: ``pyworld`` takes F0 by DIO with StoneMask and the envelope by
            CheapTrick (WORLD; Morise et al., 2016); ``librosa`` takes F0 by pYIN and
            the spectrum of Hann windows of 40 ms for the envelope.

    Raises:
        DSUError: as :func:`espnet_dsu.f0.extract_f0`.
    """
    hop = round(_SHIFT_SEC * fs)
    f0 = extract_f0(wav, fs, hop / fs, method=method)
    samples = wav.astype(np.float64)
    if method == "pyworld":
        world = require_package("pyworld", "choose the method librosa")
        times = (np.arange(len(f0)) + 0.5) * hop / fs
        power = world.cheaptrick(samples, f0.astype(np.float64), times, fs)
    else:
        power = _power_spectrum(samples, fs, hop, len(f0))
    power = power + _ROUNDING_POWER
    return Analysis(f0, mel_cepstrum(power, mel_warping(fs), _ORDER))


def mel_cepstrum(power: np.ndarray, alpha: float, order: int) -> np.ndarray:
    """Return the mel-cepstrum (T, order + 1) of power spectra (T, F).

    The coefficients c of log|H(w)| = sum of c_m cos(m b(w)), where b is the phase of an
    all-pass filter of first order with coefficient ``alpha`` (Tokuda et al., 1994).

    Args:
        power: F = half the length of the Fourier transform + 1; all above 0.
        alpha: 0 is no warping; see :func:`mel_warping`.
        order: number of the last coefficient.
    """
    size = 2 * (power.shape[1] - 1)
    # Folded to the positive side: the cepstrum of the logarithm of magnitudes.
    cepstrum = np.fft.irfft(np.log(power), size)[:, : power.shape[1]]
    cepstrum[:, [0, -1]] /= 2
    return cepstrum @ _warping_matrix(power.shape[1], alpha, order)


@lru_cache(maxsize=8)
def mel_warping(fs: int) -> float:
    """Return the all-pass coefficient whose phase is nearest to Fant's mel scale."""
    omega = np.linspace(0, np.pi, 1000)
    mel = np.log1p(omega / np.pi * fs / 2 / 1000)
    errors = {
        alpha: float(np.sum((allpass_phase(omega, alpha) / np.pi - mel / mel[-1]) ** 2))
        for alpha in np.arange(0, 1, 0.001)
    }
    return float(min(errors, key=errors.__getitem__))


def allpass_phase(omega: np.ndarray, alpha: float) -> np.ndarray:
    """Return b(w): where the warped frequency axis has ``omega`` (0 to pi)."""
    return omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))


@lru_cache(maxsize=8)
def _warping_matrix(size: int, alpha: float, order: int) -> np.ndarray:
    """Return (size, order + 1): the cepstrum times it is the warped cepstrum.

    The recursion of Oppenheim & Johnson (1972), on all unit cepstra at once.
    """
    warped = np.zeros((order + 1, size))
    for row in np.eye(size)[::-1]:
        before = warped.copy()
        warped[0] = row + alpha * before[0]
        if order:
            warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            warped[m] = before[m - 1] + alpha * (before[m] - warped[m - 1])
    return warped.T


def _power_spectrum(wav: np.ndarray, fs: int, hop: int, frames: int) -> np.ndarray:
    """Return power spectra (frames, F); frame t is centred at (t + 0.5) ``hop``."""
    librosa = require_package("librosa", "choose the method pyworld")
    size = 1 << (round(0.04 * fs) - 1).bit_length()
    left = (size - hop) // 2
    padded = np.zeros((frames - 1) * hop + size)
    padded[left : left + len(wav)] = wav[: len(padded) - left]
    window = librosa.filters.get_window("hann", size)
    spectrum = librosa.stft(
        padded, n_fft=size, hop_length=hop, window=window, center=False
    )
    return np.abs(spectrum.T) ** 2 / np.sum(window**2)


def mel_cepstral_distortion(
    ref: np.ndarray, gen: np.ndarray, path: np.ndarray
) -> float:
    """Return the mel-cepstral distortion in dB (Kubichek, 1993).

    10 / ln 10 * sqrt(2 * sum of squared differences), without c0, averaged over pairs
    of frames.

    Args:
        ref, gen: mel-cepstra, c0 first, (T, D) and (T', D).
        path: pairs of frames, (P, 2); see :mod:`espnet_dsu.metrics.alignment`.

    Raises:
        DSUError: different numbers of coefficients.
    """
    if ref.shape[1] != gen.shape[1]:
        raise DSUError(
            f"{ref.shape[1]} mel-cepstral coefficients against {gen.shape[1]}, expected"
            " the same analysis of both"
        )
    difference = ref[path[:, 0], 1:] - gen[path[:, 1], 1:]
    distance = np.sqrt(2 * np.sum(difference**2, axis=1))
    return float(10 / np.log(10) * distance.mean())
