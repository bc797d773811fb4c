"""LibriSpeech's archives: what is downloaded from where."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from archive_parts import download_parts
from archives import fetch
from librispeech_parts import FOLDER, LM_TEXT, PARTS, VARIABLE

AUDIO_PAGE = "12"
TEXT_PAGE = "11"


def download_corpus(folder: Path, parts: Iterable[str], mirror: str) -> None:
    """Make ``folder/LibriSpeech/<part>``; parts that are there already are left alone.

    Raises:
        DSUError: a download failed, or an archive is damaged.
    """
    wanted = {part: PARTS[part] for part in parts}
    download_parts(folder, FOLDER, wanted, f"{mirror}/{AUDIO_PAGE}", VARIABLE)


def download_lm_text(folder: Path, mirror: str) -> None:
    """Download the language models' text; its own checksum is checked on reading."""
    logging.info(f"{LM_TEXT}: downloading to {folder} (1.5 GB)")
    fetch(f"{mirror}/{TEXT_PAGE}/{LM_TEXT}", folder / LM_TEXT, VARIABLE)
