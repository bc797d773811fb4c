"""A miniature of LJSpeech 1.1 in its real directory layout, for tests."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.harness import write_voice

FS = 22050
# What metadata.csv has, and the words of it that recipes read.
SENTENCES = (
    ("in being comparatively modern.", "in being comparatively modern."),
    (
        "Printed in 1455 by Mr. Gutenberg,",
        "Printed in fourteen fifty-five by Mister G,",
    ),
    ('the "forty-two line Bible" of about', 'the "forty-two line Bible" of about'),
)
WORDS = (
    "IN BEING COMPARATIVELY MODERN",
    "PRINTED IN FOURTEEN FIFTY FIVE BY MISTER G",
    "THE FORTY TWO LINE BIBLE OF ABOUT",
)


def make_ljspeech(folder: Path, utterances: int = 10, seconds: float = 1.2) -> Path:
    """Write ``folder/LJSpeech-1.1/{metadata.csv,wavs}``; return ``folder``.

    Args:
        folder: a new folder.
        utterances: number of them.
        seconds: of each, at least.
    """
    root = folder / "LJSpeech-1.1"
    lines = []
    for number in range(1, utterances + 1):
        utt = f"LJ001-{number:04d}"
        write_voice(root / "wavs" / f"{utt}.wav", seconds + number % 3 / 5, number, FS)
        lines.append("|".join((utt, *SENTENCES[number % len(SENTENCES)])) + "\n")
    (root / "metadata.csv").write_text("".join(lines))
    (root / "README").write_text("a miniature\n")
    return folder
