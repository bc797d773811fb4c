"""A miniature of VCTK in the real directory layouts of its versions, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.recipes.harness import write_voice

FS = 48000
SPEAKERS = ("p225", "p280", "p315", "p362", "s5")
SENTENCES = (
    "Please call Stella.",
    "Ask her to bring these things with her from the store.",
    "It's a small plastic snake, and a big toy-frog!",
)
WORDS = (
    "PLEASE CALL STELLA",
    "ASK HER TO BRING THESE THINGS WITH HER FROM THE STORE",
    "IT'S A SMALL PLASTIC SNAKE AND A BIG TOY FROG",
)


def make_vctk(
    folder: Path,
    version: str = "0.92",
    speakers: Sequence[str] = SPEAKERS,
    utterances: int = 4,
    seconds: float = 1.2,
) -> Path:
    """Write ``folder/VCTK-Corpus-0.92/`` or ``folder/VCTK-Corpus/``; return ``folder``.

    As in the real one, p315 has no text, p280 and p315 lack the second microphone, and
    p362 has a text without audio.

    Args:
        folder: a new folder.
        version: 0.92 or 0.80.
        speakers: of the corpus.
        utterances: of each speaker, with audio.
        seconds: of each utterance, at least.
    """
    new = version == "0.92"
    root = folder / ("VCTK-Corpus-0.92" if new else "VCTK-Corpus")
    for place, speaker in enumerate(speakers):
        for index in range(1, utterances + 1):
            utt = f"{speaker}_{index:03d}"
            text = root / "txt" / speaker / f"{utt}.txt"
            if speaker != "p315":
                text.parent.mkdir(parents=True, exist_ok=True)
                text.write_text(SENTENCES[index % len(SENTENCES)] + "\n")
            endings = ["_mic1.flac", "_mic2.flac"] if new else [".wav"]
            if speaker in ("p280", "p315"):
                del endings[1:]
            for ending in endings:
                audio = "wav48_silence_trimmed" if new else "wav48"
                path = root / audio / speaker / (utt + ending)
                write_voice(path, seconds + index % 3 / 5, 100 * place + index, FS)
    if "p362" in speakers:
        (root / "txt/p362/p362_999.txt").write_text("Nobody said this.\n")
    (root / "speaker-info.txt").write_text("a miniature\n")
    return folder
