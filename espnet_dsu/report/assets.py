"""The files that a page shows, named so that an old page stays whole beside a new one.

A name ends in a hash of the content. A page that is being rebuilt therefore never
overwrites what the page on disk refers to; what no page needs goes after the new page
has taken its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from espnet_dsu.audio import write_audio
from espnet_dsu.units.files import atomic_path

_OURS = re.compile(r"\.?[a-z0-9-]+-[0-9a-f]{12}\.(wav|png)(\.\d+\.tmp)?")


class Assets:
    """Sounds and pictures in ``folder``, addressed relative to the folder above it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._used: set[str] = set()

    def add_sound(self, stem: str, wav: np.ndarray, fs: int) -> str:
        """Write samples (N,), float in [-1, 1] at ``fs`` Hz; return the address."""
        key = wav.tobytes() + str(fs).encode()
        return self._add(stem, "wav", key, lambda path: write_audio(path, wav, fs))

    def add_picture(self, stem: str, pixels: np.ndarray) -> str:
        """Write a picture (height, width, 3), uint8; return the address."""

        def write(path: Path) -> None:
            from matplotlib.image import imsave

            with atomic_path(path) as temporary:
                imsave(temporary, pixels, format="png")

        key = pixels.tobytes() + str(pixels.shape).encode()
        return self._add(stem, "png", key, write)

    def sweep(self) -> None:
        """Remove files of former pages; files of other origin stay."""
        for path in self.folder.iterdir():
            if path.name not in self._used and _OURS.fullmatch(path.name):
                path.unlink()

    def _add(
        self, stem: str, suffix: str, key: bytes, write: Callable[[Path], None]
    ) -> str:
        # Ids and names of columns may hold anything; file names and URLs must not.
        plain = re.sub("[^a-z0-9]+", "-", stem.lower()).strip("-")[:60] or "clip"
        name = f"{plain}-{hashlib.sha256(key).hexdigest()[:12]}.{suffix}"
        self._used.add(name)
        write(self.folder / name)
        return f"{self.folder.name}/{name}"
