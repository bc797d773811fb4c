"""A miniature of AN4 in its real directory layout, NIST sphere files, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from tests.speech import voice

FS = 16000
WORDS = {
    "train": {
        "an251-fash-b": "YES",
        "cen8-fbbh-b": "MARCH THIRD NINETEEN TWENTY EIGHT",
        "an152-mwhw-b": "START",
        "cen8-mwhw-b": "ELEVEN SEVENTEEN FIFTY ONE",
        "cen7-fash-b": "TWO SIX EIGHT FOUR FOUR ONE EIGHT",
    },
    "test": {
        "cen8-fcaw-b": "ELEVEN TWENTY SEVEN FIFTY SEVEN",
        "cen8-mmxg-b": "OCTOBER TWENTY FOUR NINETEEN SEVENTY",
    },
}
FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}


def make_an4(folder: Path, channel: int = 0, channels: int = 1) -> Path:
    """Write ``folder/an4/{etc,wav}``; return ``folder``.

    Args:
        folder: a new folder.
        channel: the one that has the speech; the others have noise.
        channels: number of them.
    """
    etc = folder / "an4/etc"
    etc.mkdir(parents=True)
    seed = 0
    for part, utterances in WORDS.items():
        lines = []
        for name, words in utterances.items():
            seed += 1
            noise = 0.1 * np.random.default_rng(seed).standard_normal(
                (FS * 4, channels)
            )
            speech = voice(1 + seed % 4 / 2, seed, FS)
            samples = noise[: len(speech)]
            samples[:, channel] = speech
            path = folder / "an4/wav" / FOLDERS[part] / name.split("-")[1]
            path.mkdir(parents=True, exist_ok=True)
            soundfile.write(path / f"{name}.sph", samples, FS, "PCM_16", format="NIST")
            marked = f"<s> {words} </s>" if part == "train" else words
            lines.append(f"{marked} ({name})\n")
        (etc / f"an4_{part}.transcription").write_text("".join(lines))
    return folder
