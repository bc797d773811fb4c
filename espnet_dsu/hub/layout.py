"""What lies where in an archive, an unpacked model and a repository of the hub."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import yaml

from espnet_dsu.errors import DSUError
from espnet_dsu.hub.portable import is_inside, localize, read_config
from espnet_dsu.units.files import atomic_path

META, CARD, FACTS = "meta.yaml", "README.md", "espnet_dsu.yaml"


def cache_dir() -> Path:
    """Return where unpacked models are kept: ``$XDG_CACHE_HOME/espnet_dsu``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "espnet_dsu"


def check_archive(archive: Path) -> None:
    """Refuse an archive that is no packed model or would write outside its folder."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise DSUError(f"{archive} is no zip archive made by pack: {error}") from error
    for entry in entries:
        name = entry.filename
        if not is_inside(name) or "\\" in name or ":" in name.split("/")[0]:
            raise DSUError(f"{archive} holds {name!r}, a path outside the archive")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise DSUError(
                f"{archive} holds {name!r}, a link; a model holds files only"
            )
    if META not in {entry.filename for entry in entries}:
        raise DSUError(f"{archive} holds no {META}, so it was not made by pack")


def extract(archive: Path, folder: Path) -> None:
    """Unpack a checked archive.

    Raises:
        DSUError: if it is damaged.
    """
    check_archive(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DSUError(f"{archive} is damaged: {error}; get it again") from error


def read_meta(folder: Path) -> dict[str, dict[str, Path]]:
    """Read which files make the model; each is there and inside the folder.

    Returns:
        under ``files`` and ``yaml_files``: argument of the model's class -> path.
    """
    meta = read_config(folder / META)
    found: dict[str, dict[str, Path]] = {}
    for kind in ("files", "yaml_files"):
        if not isinstance(meta.get(kind), dict):
            raise DSUError(f"{folder / META} has no {kind}, so it was not made by pack")
        found[kind] = {key: folder / str(name) for key, name in meta[kind].items()}
        for key, name in meta[kind].items():
            if not is_inside(str(name)):
                raise DSUError(f"{folder / META}: {key} is {name}, outside the folder")
            if not (folder / name).is_file():
                raise DSUError(
                    f"{folder / name} is missing, the {key} of the model; download or "
                    "unpack the model again"
                )
    return found


def read_folder(folder: Path) -> dict[str, Any]:
    """Give the constructor arguments of the model in an unpacked archive.

    The folder is left as it is, so that it may be shared, moved or read-only: configs
    with the paths of this place are written to the cache.
    """
    folder = folder.absolute()
    meta = read_meta(folder)
    arguments: dict[str, Any] = {k: str(v) for k, v in meta["files"].items()}
    for key, path in meta["yaml_files"].items():
        config = localize(read_config(path), folder)
        place = hashlib.sha256(str(path).encode()).hexdigest()[:32]
        local = cache_dir() / "configs" / place / path.name
        local.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(local) as temporary:
            temporary.write_text(yaml.safe_dump(config), encoding="utf-8")
        arguments[key] = str(local)
    if (folder / FACTS).is_file():
        arguments |= read_config(folder / FACTS).get("decoding") or {}
    return arguments
