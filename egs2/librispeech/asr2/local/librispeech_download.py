"""LibriSpeech's archives: what is downloaded from where."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from archives import fetch, unpack
from librispeech_parts import LM_TEXT, PARTS

AUDIO_PAGE = "12"
TEXT_PAGE = "11"
VARIABLE = "LIBRISPEECH"  # of db.sh


def download_corpus(folder: Path, parts: Iterable[str], mirror: str) -> None:
    """Make ``folder/LibriSpeech/<part>``; parts that are there already are left alone.

    Raises:
        DSUError: a download failed, or an archive is damaged.
    """
    for part in parts:
        target = folder / "LibriSpeech" / part
        if target.is_dir():
            continue
        archive = folder / f"{part}.tar.gz"
        size = PARTS[part].gigabytes
        logging.info(f"{part}: downloading to {archive} ({size} GB)")
        url = f"{mirror}/{AUDIO_PAGE}/{archive.name}"
        fetch(url, archive, VARIABLE, PARTS[part].sha256)
        unpack(archive, target, f"LibriSpeech/{part}")


def download_lm_text(folder: Path, mirror: str) -> None:
    """Download the language models' text; its own checksum is checked on reading."""
    logging.info(f"{LM_TEXT}: downloading to {folder} (1.5 GB)")
    fetch(f"{mirror}/{TEXT_PAGE}/{LM_TEXT}", folder / LM_TEXT, VARIABLE)
