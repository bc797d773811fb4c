"""Pictures of sound: mel spectrograms on one scale, and bands of units."""

from __future__ import annotations

import numpy as np

_BANDS = 112
_RANGE_DB = 70.0
_WINDOW_SEC = 0.025
_SHIFT_SEC = 0.005
_MAX_WIDTH = 1200
# Mean-shift angle of hue from one unit to the next: neighbours in number look unlike.
_GOLDEN = 0.618034


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Convert Hz to mel, by O'Shaughnessy's formula (HTK's)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def mel_decibels(wav: np.ndarray, fs: int, top_hz: float) -> np.ndarray:
    """Return a mel spectrogram in dB, (bands, T), lowest band first.

    Args:
        wav: samples (N,).
        fs: in Hz.
        top_hz: upper end of the bands; those above ``fs / 2`` are empty (-200 dB).
    """
    window = max(2, round(_WINDOW_SEC * fs))
    # Long recordings get fewer frames per second, not wider pictures.
    shift = max(1, round(max(_SHIFT_SEC * fs, len(wav) / _MAX_WIDTH)))
    padded = np.pad(wav.astype(np.float64), (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::shift]
    frames = frames[: -(-len(wav) // shift)]
    # Zero-padded, so that the narrowest band still has a bin.
    size = 2 ** int(np.ceil(np.log2(0.064 * fs)))
    power = np.abs(np.fft.rfft(frames * np.hanning(window), size)) ** 2
    return 10.0 * np.log10(np.maximum(_filters(fs, size, top_hz) @ power.T, 1e-20))


def mel_pixels(decibels: np.ndarray, reference: float) -> np.ndarray:
    """Colour a spectrogram: (bands, T) dB -> (bands, T, 3) uint8, top band first.

    Args:
        decibels: from :func:`mel_decibels`.
        reference: the dB of the brightest colour, which a row of pictures shares.
    """
    from matplotlib import colormaps

    level = np.clip((decibels[::-1] - reference) / _RANGE_DB + 1.0, 0.0, 1.0)
    return colormaps["magma"](level, bytes=True)[..., :3]


def unit_pixels(units: np.ndarray) -> np.ndarray:
    """Colour frame units (T,) or (T, S) as (S, T, 3) uint8, a colour per unit."""
    from matplotlib.colors import hsv_to_rgb

    rows = units.reshape(len(units), -1).T
    shade = 0.62 + 0.3 * ((rows * 7 % 11) / 10)
    colours = np.stack([rows * _GOLDEN % 1.0, np.full(rows.shape, 0.48), shade], -1)
    return np.round(255 * hsv_to_rgb(colours)).astype(np.uint8)


def _filters(fs: int, size: int, top_hz: float) -> np.ndarray:
    """Return triangular filters (bands, size // 2 + 1), equally wide in mel."""
    edges = np.linspace(0.0, hz_to_mel(top_hz), _BANDS + 2)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = hz_to_mel(np.fft.rfftfreq(size, 1 / fs))
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling))
