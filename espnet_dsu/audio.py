"""Audio files in and out: one place that knows what can be wrong with a recording."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile as sf

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import atomic_path

# A header that was never completed (audio streamed through a pipe) declares one of the
# largest sizes there are; such a file has no known length and so cannot be truncated.
UNKNOWN_SIZE = 0x7FFF0000


class AudioError(DSUError):
    """A recording that cannot be used; the message is the reason in few words."""


class _Window(io.RawIOBase):
    """The ``size`` bytes of ``file`` from ``start`` on, as a file of their own."""

    def __init__(self, file: io.BufferedReader, start: int, size: int) -> None:
        self.file, self.start, self.size, self.position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}
        self.position = max(0, origin[whence] + offset)
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        self.file.seek(self.start + self.position)
        wanted = max(0, min(len(buffer), self.size - self.position))
        data = self.file.read(wanted)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def _ark_entry(file: io.BufferedReader, offset: int, length: int) -> _Window:
    """Return the recording at ``offset`` of a Kaldi ark of ``length`` bytes."""
    if offset >= length:
        raise AudioError(f"offset {offset} is beyond the ark's {length} bytes")
    file.seek(offset)
    head = file.read(15)
    if head[:5] == b"AUDIO":  # kaldiio: the width of the size field, the size, the data
        width = head[5] if len(head) > 5 else 0
        size = int.from_bytes(head[6 : 6 + width], "little")
        return _Window(file, offset + 6 + width, min(size, length - offset - 6 - width))
    size = length - offset
    if head[:4] == b"RIFF" and len(head) >= 8:
        # What follows the recording in the ark is not part of it.
        size = min(size, struct.unpack("<I", head[4:8])[0] + 8)
    return _Window(file, offset, size)


def _locate(source: str) -> tuple[Path, int | None]:
    """Split a wav.scp value into a path with something in it and an offset, if any."""
    if source.startswith("|") or source.rstrip().endswith("|"):
        raise AudioError("a pipe, which is never executed: convert the audio first")
    path, offset = Path(source), None
    entry = re.fullmatch(r"(.+):(\d+)", source)
    if entry and not path.exists():
        path, offset = Path(entry[1]), int(entry[2])
    if not path.exists():
        raise AudioError("not found")
    if not path.is_file():
        raise AudioError("not a file")
    if path.stat().st_size == 0:
        raise AudioError("empty file")
    return path, offset


@contextmanager
def _open(source: str) -> Iterator[tuple[sf.SoundFile, bytes]]:
    """Open a wav.scp value; yield the sound file and the first bytes of its header."""
    path, offset = _locate(source)
    with open(path, "rb") as file:
        # A plain file is left to libsndfile by name; Python reads entries of an ark.
        target: Path | _Window = path
        head = b""
        if offset is None:
            head = file.read(1024)
        else:
            target = _ark_entry(file, offset, path.stat().st_size)
        try:
            sound = sf.SoundFile(target)
        except sf.LibsndfileError as error:
            raise AudioError(f"not readable as audio ({error.error_string})") from error
        with sound:
            yield sound, head


def _missing_samples(sound: sf.SoundFile, head: bytes) -> str | None:
    """Say what a header promises and the file lacks; None where nothing is missing.

    libsndfile quietly shortens a file to what is there and tells only in its log.
    """
    log = sound.extra_info
    chunk = re.search(r"^\s*(?:data|SSND)\s*: (\d+) \(should be (\d+)\)", log, re.M)
    if chunk and int(chunk[2]) < int(chunk[1]) < UNKNOWN_SIZE:
        return f"{chunk[1]} bytes declared, {chunk[2]} present"
    sphere = re.search(rb"^NIST_1A.*\nsample_count -i (\d+)", head, re.S)
    if sphere and int(sphere[1]) > sound.frames:
        return f"{int(sphere[1])} samples declared, {sound.frames} present"
    if sound.format == "OGG" and "lacks an end-of-stream" in log:
        return "the last page is missing"
    return None


def _check(sound: sf.SoundFile, head: bytes) -> None:
    """Raise AudioError where the header alone shows that the audio is unusable."""
    missing = _missing_samples(sound, head)
    if missing:
        raise AudioError(f"truncated ({missing})")
    if sound.frames == 0:
        raise AudioError("no samples")


def _pick(wav: np.ndarray, channel: int | None) -> np.ndarray:
    """Return one channel (N,) of ``wav`` (N, C)."""
    count = wav.shape[1]
    if channel is None and count > 1:
        raise AudioError(
            f"{count} channels where one was expected; pick one with --ref_channels"
        )
    if channel is not None and not 0 <= channel < count:
        raise AudioError(f"channel {channel} wanted, channels 0 to {count - 1} present")
    return np.ascontiguousarray(wav[:, channel or 0])


def read_audio(source: str, channel: int | None = None) -> tuple[np.ndarray, int]:
    """Read one channel of a recording: samples (N,), float32 in [-1, 1], and rate.

    Args:
        source: a path, or ``file.ark:offset`` for audio inside a Kaldi archive.
        channel: which channel to take, from 0; None accepts mono only.

    Raises:
        AudioError: not found, empty, unreadable, truncated, without samples, several
            channels, NaN or infinite samples, or a Kaldi pipe (never executed).
    """
    with _open(source) as (sound, head):
        _check(sound, head)
        frames, fs = sound.frames, sound.samplerate
        try:
            wav = sound.read(dtype="float32", always_2d=True)
        except sf.LibsndfileError as error:
            # The header was fine, so what libsndfile stumbled on is the body.
            raise AudioError(f"truncated or damaged ({error.error_string})") from error
    if len(wav) < frames:
        raise AudioError(f"truncated ({frames} samples declared, {len(wav)} present)")
    wav = _pick(wav, channel)
    _check_finite(wav)
    return wav, fs


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
    with _open(source) as (sound, head):
        _check(sound, head)
        return sound.frames, sound.samplerate, sound.channels


def write_audio(path: str | Path, wav: np.ndarray, fs: int) -> None:
    """Write ``wav`` (N,), float in [-1, 1] or int16, as 16-bit mono, atomically.

    The suffix of ``path`` names the format (``.wav``, ``.flac``). 16-bit samples that
    :func:`read_audio` read come back unchanged; samples beyond 1 are clipped.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        sf.write(temporary, wav, fs, subtype="PCM_16", format=path.suffix[1:].upper())
