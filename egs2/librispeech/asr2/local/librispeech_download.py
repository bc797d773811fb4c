"""LibriSpeech's archives: downloaded with resume, checked, unpacked safely."""

from __future__ import annotations

import http.client
import logging
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from librispeech_parts import LM_TEXT, PARTS
from tqdm import tqdm

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import file_sha256

AUDIO_PAGE = "12"
TEXT_PAGE = "11"
TIMEOUT_SEC = 60
CHUNK_BYTES = 2**20
ATTEMPTS = 8
PAUSE_SEC = 2.0  # before the second attempt; doubled before each further one


def download_corpus(folder: Path, parts: Iterable[str], mirror: str) -> None:
    """Make ``folder/LibriSpeech/<part>``; parts that are there already are left alone.

    Raises:
        DSUError: a download failed, or an archive is damaged.
    """
    for part in parts:
        if (folder / "LibriSpeech" / part).is_dir():
            continue
        archive = folder / f"{part}.tar.gz"
        size = PARTS[part].gigabytes
        logging.info(f"{part}: downloading to {archive} ({size} GB)")
        fetch(f"{mirror}/{AUDIO_PAGE}/{archive.name}", archive, PARTS[part].sha256)
        unpack(archive, folder, part)


def download_lm_text(folder: Path, mirror: str) -> None:
    """Download the language models' text; its own checksum is checked on reading."""
    logging.info(f"{LM_TEXT}: downloading to {folder} (1.5 GB)")
    fetch(f"{mirror}/{TEXT_PAGE}/{LM_TEXT}", folder / LM_TEXT)


def fetch(url: str, path: Path, sha256: str | None = None) -> None:
    """Download ``url`` to ``path``, going on where an earlier download ended.

    Raises:
        DSUError: no connection after several attempts, or another content.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            if _receive(url, partial):
                break
            reason = "the connection ended early"
        except (OSError, http.client.HTTPException) as error:
            reason = str(error)
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise _no_download(url, reason) from None
        logging.info(f"{url}: {reason}; attempt {attempt + 1} of {ATTEMPTS}")
        time.sleep(PAUSE_SEC * 2**attempt)
    else:
        raise _no_download(url, reason)
    if sha256 is not None and (found := file_sha256(partial)) != sha256:
        partial.unlink()
        raise DSUError(
            f"{url}: sha256 {found}, expected {sha256}; the file was removed, so "
            "download it again, from another --mirror if need be"
        )
    partial.rename(path)


def _no_download(url: str, reason: str) -> DSUError:
    return DSUError(
        f"{url}: no download ({reason}); run this again to go on, name another "
        "--mirror, or get the corpus elsewhere and set LIBRISPEECH in db.sh"
    )


def _receive(url: str, partial: Path) -> bool:
    """Append to ``partial`` what it lacks; return whether all of it arrived."""
    start = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SEC)
    except urllib.error.HTTPError as error:
        # Range not satisfiable: it was whole before.
        if error.code == 416 and start:
            return True
        raise
    with response:
        if response.status != 206:  # the server gives the whole file only
            start = 0
        total = start + int(response.headers["Content-Length"])
        progress = tqdm(
            desc=partial.stem, total=total, initial=start, unit="B", unit_scale=True
        )
        with partial.open("ab" if start else "wb") as file, progress:
            while chunk := response.read(CHUNK_BYTES):
                file.write(chunk)
                progress.update(len(chunk))
    return partial.stat().st_size == total


def unpack(archive: Path, folder: Path, part: str) -> None:
    """Make ``folder/LibriSpeech/<part>`` from its archive, as a whole or not at all.

    Raises:
        DSUError: the archive is damaged, holds names that lead out of the folder, or
            something else than the part.
    """
    temporary = folder / f"{part}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    logging.info(f"{archive}: unpacking to {folder}/LibriSpeech/{part}")
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, members=map(_checked, tar))
        (folder / "LibriSpeech").mkdir(exist_ok=True)
        (temporary / "LibriSpeech" / part).rename(folder / "LibriSpeech" / part)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DSUError(
            f"{archive}: does not unpack to LibriSpeech/{part} ({error}); remove it "
            "and download it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _checked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Refuse a member that is no plain file or folder inside the folder.

    What ``filter="data"`` does in a newer Python; 3.10.11 and 3.11.3 lack it.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name!r} leads out of the folder")
    if not member.isfile() and not member.isdir():
        raise tarfile.TarError(f"{member.name!r} is a link or a device")
    member.mode = 0o755 if member.isdir() else 0o644
    return member
