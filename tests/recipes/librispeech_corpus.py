"""A miniature of LibriSpeech in its real directory layout, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.recipes.harness import write_voice

EVALUATION_PARTS = ("dev-clean", "dev-other", "test-clean", "test-other")
TRAIN_PARTS = ("train-clean-100", "train-clean-360", "train-other-500")
PARTS_100 = (*TRAIN_PARTS[:1], *EVALUATION_PARTS)
PARTS_960 = (*TRAIN_PARTS, *EVALUATION_PARTS)
SENTENCES = (
    "HE HOPED THERE WOULD BE STEW FOR DINNER",
    "STUFF IT INTO YOU HIS BELLY COUNSELLED HIM",
    "AFTER EARLY NIGHTFALL THE LAMPS WOULD LIGHT UP",
    "HELLO BERTIE ANY GOOD IN YOUR MIND",
    "NUMBER TEN FRESH NELLY IS WAITING ON YOU",
    "THE MUSIC CAME NEARER AND HE RECALLED THE WORDS",
    "THE DULL LIGHT FELL MORE FAINTLY UPON THE PAGE",
)


def make_librispeech(
    folder: Path,
    parts: Sequence[str] = PARTS_100,
    readers: int = 2,
    utterances: int = 3,
) -> Path:
    """Write ``folder/LibriSpeech/<part>/<reader>/<chapter>/``; return ``folder``.

    Args:
        folder: a new folder.
        parts: of the corpus.
        readers: of each part, with one chapter each. Their numbers have one to three
            digits, so that sorting by name and by number differ.
        utterances: of each chapter, of 2 to 3 seconds.
    """
    number = 0
    for place, part in enumerate(parts):
        for reader in range(readers):
            name = f"{(9, 19, 198, 84, 1272)[reader]}{place}"
            chapter = f"{name}-12{reader}"
            directory = folder / "LibriSpeech" / part / name / f"12{reader}"
            lines = []
            for index in range(utterances):
                number += 1
                utt = f"{chapter}-{index:04d}"
                seconds = 2 + number % 5 / 5
                write_voice(directory / f"{utt}.flac", seconds, number)
                lines.append(f"{utt} {SENTENCES[number % len(SENTENCES)]}\n")
            (directory / f"{chapter}.trans.txt").write_text("".join(lines))
    (folder / "LibriSpeech" / "README.TXT").write_text("a miniature\n")
    return folder
