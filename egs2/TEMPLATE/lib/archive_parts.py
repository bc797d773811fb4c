"""Corpora that are published as several archives, a part each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from archives import fetch, unpack

from espnet_dsu.errors import DSUError


@dataclass(frozen=True)
class Part:
    """One archive of a corpus that is published as several.

    Args:
        utterances: how many there are in it.
        gigabytes: size of the archive, in 10^9 bytes.
        sha256: of the archive.
    """

    utterances: int
    gigabytes: float
    sha256: str


def download_parts(
    folder: Path,
    inner: str,
    parts: Mapping[str, Part],
    page: str,
    variable: str,
    prefix: str = "",
) -> None:
    """Make ``folder/<inner>/<part>``; parts that are there already are left alone.

    Args:
        folder: archives are downloaded to it as ``<prefix><part>.tar.gz``.
        inner: folder of the corpus, in the archives and below ``folder``.
        parts: by name.
        page: address that ``<part>.tar.gz`` is below.
        variable: of db.sh that names the corpus.
        prefix: of the archives' names.

    Raises:
        DSUError: a download failed, or an archive is damaged.
    """
    for name, part in parts.items():
        target = folder / inner / name
        if target.is_dir():
            continue
        archive = folder / f"{prefix}{name}.tar.gz"
        logging.info(f"{name}: downloading to {archive} ({part.gigabytes} GB)")
        fetch(f"{page}/{name}.tar.gz", archive, variable, part.sha256)
        unpack(archive, target, f"{inner}/{name}")


def find_parts(corpus: Path, inner: str, parts: Iterable[str], variable: str) -> Path:
    """Return the folder that holds the parts: ``corpus`` or its ``inner``.

    Raises:
        DSUError: it lacks some.
    """
    root = corpus / inner if (corpus / inner).is_dir() else corpus
    missing = [part for part in parts if not (root / part).is_dir()]
    if missing:
        raise DSUError(
            f"{root}: lacks {', '.join(missing)}; unpack {missing[0]}.tar.gz there, or "
            f"correct {variable} in db.sh (empty: all is downloaded)"
        )
    return root
