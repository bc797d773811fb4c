"""Audio to measure on: made up, or the user's own, as 16 kHz 16-bit files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espnet_dsu.audio import audio_info, read_audio, write_audio
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp, write_scp
from espnet_dsu.upstream import resample

SAMPLE_RATE = 16000
# Utterances of read speech (LibriSpeech: 1 to 35 s, 12 s in the mean).
SHORTEST_SEC, LONGEST_SEC = 2.0, 20.0


@dataclass(frozen=True)
class Corpus:
    """A ``wav.scp`` of 16 kHz files and how long each of its utterances is."""

    wav_scp: Path
    num_samples: tuple[int, ...]

    @property
    def audio_sec(self) -> float:
        """Seconds of audio."""
        return sum(self.num_samples) / SAMPLE_RATE

    @property
    def audio_hours(self) -> float:
        """Hours of audio."""
        return self.audio_sec / 3600

    def head(self, name: str, seconds: float) -> Corpus:
        """Give its first utterances, as many as make up ``seconds``, as a corpus."""
        table, kept = dict[str, str](), list[int]()
        for (key, path), count in zip(read_scp(self.wav_scp).items(), self.num_samples):
            if sum(kept) >= seconds * SAMPLE_RATE:
                break
            table[key] = path
            kept.append(count)
        scp = self.wav_scp.with_name(f"{name}.scp")
        write_scp(scp, table)
        return Corpus(scp, tuple(kept))


def made_up(
    folder: Path, seconds: float, distinct_sec: float = 600.0, seed: int = 0
) -> Corpus:
    """Write a corpus of voice-like utterances; files repeat after ``distinct_sec``.

    A repeated file is read, decoded and computed again under another id, so only disk
    space and the time to make it are saved.
    """
    rng = np.random.default_rng(seed)
    lengths = list[float]()
    while sum(lengths) < seconds:
        drawn = float(rng.uniform(SHORTEST_SEC, LONGEST_SEC))
        lengths.append(min(drawn, max(seconds - sum(lengths), 0.5)))
    paths, table, counts = list[Path](), dict[str, str](), list[int]()
    made = 0.0
    for index, length in enumerate(lengths):
        if made < distinct_sec:
            paths.append(folder / f"{index:06d}.wav")
            write_audio(paths[-1], voice(length, seed * 10**6 + index), SAMPLE_RATE)
            made += length
        path = paths[index % len(paths)]
        table[f"utt{index:06d}"] = str(path)
        counts.append(audio_info(str(path))[0])
    write_scp(folder / "wav.scp", table)
    return Corpus(folder / "wav.scp", tuple(counts))


def one_file(folder: Path, seconds: float, seed: int = 0) -> Corpus:
    """Write a corpus of one utterance in one file."""
    path = folder / "long.wav"
    part = voice(min(seconds, 60.0), seed)
    count = round(seconds * SAMPLE_RATE)
    write_audio(path, np.resize(part, count), SAMPLE_RATE)
    write_scp(folder / "wav.scp", {"long": str(path)})
    return Corpus(folder / "wav.scp", (count,))


def near_empty(folder: Path, seconds: float = 0.5) -> Corpus:
    """Write two short utterances: what a command costs to start."""
    table = dict[str, str]()
    for index in range(2):
        path = folder / f"{index}.wav"
        write_audio(path, voice(seconds, index), SAMPLE_RATE)
        table[f"utt{index}"] = str(path)
    write_scp(folder / "wav.scp", table)
    return Corpus(folder / "wav.scp", (round(seconds * SAMPLE_RATE),) * 2)


def formatted(wav_scp: Path, folder: Path) -> Corpus:
    """Copy a corpus to 16 kHz 16-bit files, as ESPnet's formatting stage does.

    Resampling is then no part of what is measured.
    """
    table, counts = dict[str, str](), list[int]()
    entries = read_scp(wav_scp)
    for name, source in track(entries.items(), len(entries), "formatting"):
        wav, fs = read_audio(source)
        path = folder / f"{len(table):06d}.wav"
        samples = resample(torch.from_numpy(wav), fs, SAMPLE_RATE).numpy()
        write_audio(path, samples, SAMPLE_RATE)
        table[name] = str(path)
        counts.append(len(samples))
    if not table:
        raise DSUError(f"{wav_scp} is empty, expected utterances to measure on")
    write_scp(folder / "wav.scp", table)
    return Corpus(folder / "wav.scp", tuple(counts))


def read_all(wav_scp: Path) -> Iterator[torch.Tensor]:
    """Yield the samples (N,) of every utterance."""
    for source in read_scp(wav_scp).values():
        yield torch.from_numpy(read_audio(source)[0])


def batches(
    wavs: Iterable[torch.Tensor], batch_sec: float
) -> Iterator[list[torch.Tensor]]:
    """Cut waveforms into batches of like length, longest first, as the engine does."""
    left = sorted(wavs, key=len, reverse=True)
    while left:
        size = max(1, int(batch_sec * SAMPLE_RATE / len(left[0])))
        yield left[:size]
        left = left[size:]


def voice(seconds: float, seed: int) -> np.ndarray:
    """Make harmonics of a moving pitch with moving strengths, and some noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    wander = 1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 1.5) * time)
    wander += 0.1 * np.sin(2 * np.pi * rng.uniform(2, 4) * time + rng.uniform(0, 6))
    phase = np.cumsum(2 * np.pi * rng.uniform(90, 220) * wander) / SAMPLE_RATE
    signal = 0.02 * rng.standard_normal(len(time))
    for harmonic in (1, 2, 3, 5, 8, 13):
        swell = 1 + np.sin(2 * np.pi * rng.uniform(1, 7) * time + rng.uniform(0, 6))
        signal += swell * np.sin(harmonic * phase) / harmonic
    # Syllables and pauses.
    gate = np.sin(2 * np.pi * rng.uniform(1.5, 4) * time + rng.uniform(0, 6)) > -0.7
    return (0.1 * signal * (0.05 + gate)).astype(np.float32)
