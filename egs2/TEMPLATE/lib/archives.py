"""Archives of corpora: downloaded with resume, checked, unpacked safely."""

from __future__ import annotations

import http.client
import logging
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import file_sha256

TIMEOUT_SEC = 60
CHUNK_BYTES = 2**20
ATTEMPTS = 8
PAUSE_SEC = 2.0  # before the second attempt; doubled before each further one


@dataclass(frozen=True)
class Release:
    """A corpus that is published as one archive.

    Args:
        variable: of db.sh that names the corpus.
        url: of the archive, a tar or a zip.
        gigabytes: size of the archive, in 10^9 bytes.
        sha256: of the archive.
    """

    variable: str
    url: str
    gigabytes: float
    sha256: str


def find_corpus(given: str, release: Release, downloads: Path) -> Path:
    """Return the folder of a corpus.

    Args:
        given: its folder, its archive, or "": it is downloaded, once.
        release: what to download.
        downloads: where archives are downloaded and unpacked to.

    Raises:
        DSUError: it is not there, is damaged, or cannot be downloaded.
    """
    source = Path(given)
    if given and source.is_dir():
        return source
    folder = downloads / release.variable.lower()
    if given:
        if not source.is_file():
            raise DSUError(
                f"{release.variable}={given}: no such folder or archive; correct db.sh"
            )
        shutil.rmtree(folder, ignore_errors=True)
        unpack(source, folder)
    elif not folder.is_dir():
        archive = downloads / PurePosixPath(release.url).name
        logging.info(
            f"{release.variable} is not set in db.sh: downloading {release.url} to "
            f"{archive} ({release.gigabytes} GB)"
        )
        fetch(release.url, archive, release.variable, release.sha256)
        unpack(archive, folder)
    return folder


def fetch(url: str, path: Path, variable: str, sha256: str | None = None) -> None:
    """Download ``url`` to ``path``, going on where an earlier download ended.

    Args:
        url: of a file.
        path: where it goes; left alone where it exists.
        variable: of db.sh that would name the corpus, for the error's advice.
        sha256: expected of the file.

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
                raise _no_download(url, reason, variable) from None
        logging.info(f"{url}: {reason}; attempt {attempt + 1} of {ATTEMPTS}")
        time.sleep(PAUSE_SEC * 2**attempt)
    else:
        raise _no_download(url, reason, variable)
    if sha256 is not None and (found := file_sha256(partial)) != sha256:
        partial.unlink()
        raise DSUError(
            f"{url}: sha256 {found}, expected {sha256}; the file was removed, so "
            "download it again, from elsewhere if need be"
        )
    partial.rename(path)


def _no_download(url: str, reason: str, variable: str) -> DSUError:
    return DSUError(
        f"{url}: no download ({reason}); run this again to go on, or get the corpus "
        f"elsewhere and set {variable} in db.sh"
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


def unpack(archive: Path, folder: Path, inner: str = "") -> None:
    """Make ``folder`` from a tar or zip, as a whole or not at all.

    Args:
        archive: its name ends in .zip, or it is a tar (.tar.gz, .tar.bz2).
        folder: a new folder.
        inner: the folder of the archive that is wanted; "": all of it.

    Raises:
        DSUError: the archive is damaged, holds names that lead out of the folder, or
            lacks ``inner``.
    """
    temporary = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    logging.info(f"{archive}: unpacking to {folder}")
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as whole:
                whole.extractall(temporary, members=_checked_names(whole))
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, members=map(_checked_member, tar))
        folder.parent.mkdir(parents=True, exist_ok=True)
        (temporary / inner).rename(folder)
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error),
        *(EOFError, OSError, NotImplementedError),
    ) as error:
        raise DSUError(
            f"{archive}: does not unpack to {folder} ({error}); get it again, or "
            "remove it where it was downloaded"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def _checked_names(archive: zipfile.ZipFile) -> Iterator[str]:
    """Give the members' names, refusing what zipfile would quietly rename."""
    for name in archive.namelist():
        if _leads_out(name):
            raise zipfile.BadZipFile(f"{name!r} leads out of the folder")
        yield name


def _checked_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Refuse a member that is no plain file or folder inside the folder.

    What ``filter="data"`` does in a newer Python; 3.10.11 and 3.11.3 lack it.
    """
    if _leads_out(member.name):
        raise tarfile.TarError(f"{member.name!r} leads out of the folder")
    if not member.isfile() and not member.isdir():
        raise tarfile.TarError(f"{member.name!r} is a link or a device")
    member.mode = 0o755 if member.isdir() else 0o644
    return member
