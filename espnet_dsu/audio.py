"""Audio in and out: one place that knows what can be wrong with a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from espnet_dsu.errors import DSUError
from espnet_dsu.sound_file import AudioError, open_sound
from espnet_dsu.units.files import atomic_path

__all__ = [
    "AudioError",
    "AudioFile",
    "audio_info",
    "check_samples",
    "read_audio",
    "write_audio",
]


def _pick(channel: int | None, count: int) -> int:
    """Return which of ``count`` channels to take."""
    if channel is None and count > 1:
        raise AudioError(
            f"{count} channels where one was expected; pick one with --ref_channels"
        )
    if channel is not None and not 0 <= channel < count:
        raise AudioError(f"channel {channel} wanted, channels 0 to {count - 1} present")
    return channel or 0


class AudioFile:
    """One channel of a recording, read block by block and never held whole.

    Blocks follow each other: seeking is not exact to the sample in every compressed
    format, reading on is.

    Attributes:
        source: a path, or ``file.ark:offset`` for audio inside a Kaldi archive.
        num_samples: length, as the header says.
        fs: sample rate in Hz.
    """

    def __init__(self, source: str, channel: int | None = None) -> None:
        """Look at the header.

        Args:
            source: a ``wav.scp`` value.
            channel: which channel to take, from 0; None accepts mono only.

        Raises:
            AudioError: as :func:`read_audio`, for what a header can show.
        """
        self.source = source
        with open_sound(source) as sound:
            self.num_samples, self.fs = sound.frames, sound.samplerate
            self._channel = _pick(channel, sound.channels)

    def blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """Read from the start: float32 (n,), n = ``block_samples`` but for the last.

        Raises:
            AudioError: as :func:`read_audio`, at the block that shows it.
        """
        with open_sound(self.source) as sound:
            # soundfile seeks to where it is after each read, and MP3 loses its place.
            sound.seekable = lambda: False
            for start in range(0, self.num_samples, block_samples):
                number = min(block_samples, self.num_samples - start)
                yield _read(sound, start, number, self._channel)


def _read(sound: sf.SoundFile, start: int, number: int, channel: int) -> np.ndarray:
    """Read one channel of the next ``number`` samples; ``start`` were read before."""
    try:
        wav = sound.read(number, dtype="float32", always_2d=True)
    except sf.LibsndfileError as error:
        # The header was fine, so what libsndfile stumbled on is the body.
        raise AudioError(f"truncated or damaged ({error.error_string})") from error
    if len(wav) < number:
        raise AudioError(
            f"truncated ({sound.frames} samples declared, {start + len(wav)} present)"
        )
    wav = np.ascontiguousarray(wav[:, channel])
    _check_finite(wav, f"from sample {start} on, " if start else "")
    return wav


def read_audio(source: str, channel: int | None = None) -> tuple[np.ndarray, int]:
    """Read one channel of a recording: samples (N,), float32 in [-1, 1], and rate.

    Args:
        source: a path, or ``file.ark:offset`` for audio inside a Kaldi archive.
        channel: which channel to take, from 0; None accepts mono only.

    Raises:
        AudioError: not found, empty, unreadable, truncated, without samples, several
            channels, NaN or infinite samples, or a Kaldi pipe (never executed).
    """
    with open_sound(source) as sound:
        channel = _pick(channel, sound.channels)
        return _read(sound, 0, sound.frames, channel), sound.samplerate


def check_samples(wav: np.ndarray, name: str) -> None:
    """Refuse an array that is no mono waveform; ``name`` says whose it is.

    Raises:
        DSUError: not (N,), not floating-point, no samples, or NaN or infinite ones.
    """
    if wav.ndim != 1:
        raise DSUError(
            f"{name} has shape {wav.shape}, expected mono samples (N,); pick a channel"
        )
    if not np.issubdtype(wav.dtype, np.floating):
        raise DSUError(
            f"{name} is {wav.dtype}, expected float samples in [-1, 1]; divide integer "
            "samples by their full scale (32768 for int16)"
        )
    if len(wav) == 0:
        raise DSUError(f"{name} has no samples")
    _check_finite(wav, f"{name}: ")


def _check_finite(wav: np.ndarray, prefix: str = "") -> None:
    bad = len(wav) - int(np.isfinite(wav).sum())
    if bad:
        raise AudioError(f"{prefix}{bad} of {len(wav)} samples are NaN or infinite")


def audio_info(source: str) -> tuple[int, int, int]:
    """Return (number of samples, sample rate, channels) from the header alone.

    Raises:
        AudioError: as :func:`read_audio`, for what a header can show.
    """
    with open_sound(source) as sound:
        return sound.frames, sound.samplerate, sound.channels


def write_audio(path: str | Path, wav: np.ndarray, fs: int) -> None:
    """Write ``wav`` (N,), float in [-1, 1] or int16, as 16-bit mono, atomically.

    The suffix of ``path`` names the format (``.wav``, ``.flac``). 16-bit samples that
    :func:`read_audio` read come back unchanged; samples beyond 1 are clipped.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        sf.write(temporary, wav, fs, subtype="PCM_16", format=path.suffix[1:].upper())
