"""A miniature of LibriTTS in its real directory layout, for tests."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.harness import write_voice

FS = 24000
PARTS = ("train-clean-100", "train-clean-360", "dev-clean", "test-clean")
SENTENCES = (
    ("It was 7 o’clock.", "It was seven o’clock."),
    ("“Stuff it into you,” he said.", '"Stuff it into you," he said.'),
    ("Chapter IV", "Chapter Four"),
)
WORDS = ("IT WAS SEVEN O'CLOCK", "STUFF IT INTO YOU HE SAID", "CHAPTER FOUR")


def make_libritts(
    folder: Path, readers: int = 2, utterances: int = 3, seconds: float = 1.2
) -> Path:
    """Write ``folder/LibriTTS/<part>/<reader>/<chapter>/``; return ``folder``.

    Args:
        folder: a new folder.
        readers: of each part, with one chapter each; no reader is in two parts.
        utterances: of each chapter.
        seconds: of each utterance, at least.
    """
    number = 0
    for place, part in enumerate(PARTS):
        for reader in range(readers):
            name, chapter = f"{(9, 19, 198)[reader]}{place}", f"12{reader}"
            directory = folder / "LibriTTS" / part / name / chapter
            for index in range(utterances):
                number += 1
                utt = f"{name}_{chapter}_{index:06d}_000000"
                path = directory / f"{utt}.wav"
                write_voice(path, seconds + number % 3 / 5, number, FS)
                original, normalized = SENTENCES[number % len(SENTENCES)]
                (directory / f"{utt}.original.txt").write_text(original, "utf-8")
                (directory / f"{utt}.normalized.txt").write_text(normalized, "utf-8")
            (directory / f"{name}_{chapter}.trans.tsv").write_text("not read\n")
    (folder / "LibriTTS" / "SPEAKERS.txt").write_text("a miniature\n")
    return folder
