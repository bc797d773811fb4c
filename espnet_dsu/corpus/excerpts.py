"""One recording -> the audio of its utterances: cut, change speed, resample, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_dsu.audio import AudioError, audio_info, read_audio, write_audio

# Kaldi's tolerance for a segment that ends after its recording.
MAX_OVERSHOOT_SEC = 0.5


@dataclass(frozen=True)
class AudioFormat:
    """What the written audio shall be.

    Attributes:
        fs: sample rate in Hz; None keeps that of each recording.
        suffix: ``flac`` or ``wav``.
        channel: channel to take, from 0; None accepts mono only.
        copy: write a file even where the recording could be used as it is.
    """

    fs: int | None
    suffix: str = "flac"
    channel: int | None = None
    copy: bool = False


@dataclass(frozen=True)
class Excerpt:
    """One utterance to make: a stretch of a recording (in seconds), at some speed."""

    utt: str
    source: str
    start_sec: float = 0.0
    end_sec: float | None = None
    speed: float = 1.0

    @property
    def whole(self) -> bool:
        """Whether this is the recording as it is."""
        return self.start_sec == 0 and self.end_sec is None and self.speed == 1


@dataclass(frozen=True)
class Outcome:
    """What became of an excerpt: a file of ``num_samples``, or the reason why not."""

    utt: str
    source: str
    path: str = ""
    num_samples: int = 0
    reason: str = ""


def _cut(wav: np.ndarray, fs: int, excerpt: Excerpt) -> np.ndarray:
    """Return the stretch of ``wav`` (N,) that ``excerpt`` names."""
    length_sec = len(wav) / fs
    end_sec = length_sec if excerpt.end_sec is None else excerpt.end_sec
    if not 0 <= excerpt.start_sec < end_sec:
        raise AudioError(f"segment from {excerpt.start_sec} s to {end_sec} s is empty")
    if excerpt.start_sec >= length_sec or end_sec > length_sec + MAX_OVERSHOOT_SEC:
        raise AudioError(
            f"segment from {excerpt.start_sec} s to {end_sec} s lies outside the "
            f"recording of {length_sec:.3f} s"
        )
    return wav[round(excerpt.start_sec * fs) : round(end_sec * fs)]


def _resample(wav: np.ndarray, fs: int, speed: float, target_fs: int) -> np.ndarray:
    """Play ``wav`` (N,) at ``speed`` (pitch changes too, as on tape), at a new rate."""
    played_fs = round(fs * speed)
    if played_fs == target_fs:
        return wav
    # PyTorch takes seconds to import, and a corpus at the right rate does without.
    import torch

    from espnet_dsu.upstream import resample

    return resample(torch.from_numpy(wav), played_fs, target_fs).numpy()


def _reusable(path: Path, newer_than: float) -> bool:
    return path.exists() and path.stat().st_mtime > newer_than


def make_excerpts(
    excerpts: list[Excerpt], target: AudioFormat, directory: Path, inputs_mtime: float
) -> list[Outcome]:
    """Make the excerpts of one recording, which is decoded once.

    Args:
        excerpts: utterances with the same ``source``.
        target: the wanted audio.
        directory: where the files go, ``<utterance>.<suffix>``.
        inputs_mtime: a file that is newer than this and than ``source`` is kept.
    """
    source = excerpts[0].source
    file = Path(source) if Path(source).exists() else Path(source.rpartition(":")[0])
    newer_than = max(inputs_mtime, file.stat().st_mtime if file.exists() else 0.0)
    outcomes = []
    wav: np.ndarray | None = None
    for excerpt in excerpts:
        # An id may hold a slash, a file name may not.
        name = excerpt.utt.replace("%", "%25").replace("/", "%2F")
        path = directory / f"{name}.{target.suffix}"
        try:
            if _reusable(path, newer_than):
                done = Outcome(excerpt.utt, source, str(path), audio_info(str(path))[0])
                outcomes.append(done)
                continue
            if wav is None:
                wav, fs = read_audio(source, target.channel)
            outcomes.append(_make(excerpt, wav, fs, target, path))
        except (AudioError, OSError) as error:
            outcomes.append(Outcome(excerpt.utt, source, reason=str(error)))
    return outcomes


def _make(
    excerpt: Excerpt, wav: np.ndarray, fs: int, target: AudioFormat, path: Path
) -> Outcome:
    """Write one utterance to ``path``, or name its recording where that will do."""
    target_fs = target.fs or fs
    plain = Path(excerpt.source).suffix.lower() in (".wav", ".flac")
    if plain and excerpt.whole and fs == target_fs and not target.copy:
        if audio_info(excerpt.source)[2] == 1:
            return Outcome(excerpt.utt, excerpt.source, excerpt.source, len(wav))
    made = _resample(_cut(wav, fs, excerpt), fs, excerpt.speed, target_fs)
    if not len(made):
        raise AudioError("no samples are left after cutting and resampling")
    write_audio(path, made, target_fs)
    return Outcome(excerpt.utt, excerpt.source, str(path), len(made))
