"""A miniature of ML-SUPERB in its real directory layout, for tests."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.harness import write_voice

# source, prefix of its utterances, language
FOLDERS = (
    ("mls", "mls", "eng"),
    ("mls", "mls", "deu"),
    ("fleurs", "fleurs", "eng"),
    ("fleurs", "fleurs", "dan"),  # few-shot
    ("commonvoice", "cv", "org_jpn"),
)
TEXTS = {
    "eng": ("Hello, world! [noise] again", "the quick brown fox"),
    "deu": ("Füße und Straße.", "Guten Morgen"),
    "dan": ("Rødgrød med fløde", "på en ø"),
    "org_jpn": ("こんにちは", "ありがとう"),
}
# Numbers of the utterances; 58 and 71 are those that few_shot.txt has of fleurs_dan.
NUMBERS = {
    "10min_train": (58, 71, 3),
    "1h_train": (58, 71, 3, 4),
    "10min_dev": (5,),
    "10min_test": (6, 7),
}


def make_ml_superb(folder: Path) -> Path:
    """Write ``folder/<source>/<language>/``, 7 utterances each; return ``folder``."""
    for place, (source, prefix, language) in enumerate(FOLDERS):
        directory = folder / source / language
        for part, numbers in NUMBERS.items():
            lines = []
            for number in numbers:
                name = f"{prefix}_{language}_{number:06d}"
                seconds = 1 + number % 3 / 2
                write_voice(
                    directory / "wav" / f"{name}.wav", seconds, 100 * place + number
                )
                text = TEXTS[language][number % 2]
                lines.append(f"{name}\t{seconds}\t{text}\n")
            (directory / f"transcript_{part}.txt").write_text("".join(lines), "utf-8")
    (folder / "README.md").write_text("a miniature\n")
    return folder
