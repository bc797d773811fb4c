"""Small synthetic speech-like signals and bundles for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from espnet_dsu import UnitTokenizer


def voice(seconds: float, seed: int, fs: int = 16000) -> np.ndarray:
    """Make a signal whose spectrum moves, so that its frames fill several units."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fs)) / fs
    signal = np.zeros(len(time))
    for harmonic in range(1, 5):
        pitch = 120 * harmonic * (1 + 0.3 * np.sin(2 * np.pi * 2 * time + seed))
        swell = 1 + np.sin(2 * np.pi * (1 + harmonic) * time + rng.uniform(0, 6))
        signal += swell * np.sin(2 * np.pi * np.cumsum(pitch) / fs) / harmonic
    noise = 0.01 * rng.standard_normal(len(time))
    return (0.1 * signal + noise).astype(np.float32)


def train_bundle(path: Path, nclusters: int = 20, seed: int = 0) -> UnitTokenizer:
    """Train an MFCC tokenizer on a few seconds and save its bundle at ``path``."""
    wavs = [voice(1.5, i) for i in range(4)]
    tokenizer = UnitTokenizer.train(wavs, 16000, nclusters=nclusters, seed=seed)
    tokenizer.save_pretrained(path)
    return tokenizer


def write_corpus(folder: Path, lengths_sec: list[float], fs: int = 16000) -> Path:
    """Write wavs and a ``wav.scp``; give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, seconds in enumerate(lengths_sec):
        path = folder / f"utt{index}.wav"
        soundfile.write(path, voice(seconds, index, fs), fs)
        lines.append(f"utt{index} {path}\n")
    scp = folder / "wav.scp"
    scp.write_text("".join(lines))
    return scp
