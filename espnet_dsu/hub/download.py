"""A packed model wherever it is: an archive, its folder, or a repository of the hub."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from espnet_dsu.errors import DSUError
from espnet_dsu.hub.client import explained, import_client
from espnet_dsu.hub.layout import META, cache_dir, extract, read_folder
from espnet_dsu.hub.portable import read_config
from espnet_dsu.units.files import file_sha256

_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def unpack_model(model_tag: str | Path) -> dict[str, Any]:
    """Give the constructor arguments of a packed model, getting it if needed.

    Args:
        model_tag: a zip, the folder it was unpacked to, or ``<user>/<name>`` of the
            Hugging Face hub, maybe with ``@<branch, tag or commit>``.

    Raises:
        DSUError: if there is no such model, or it is damaged or unsafe.
    """
    path = Path(model_tag)
    if path.is_dir():
        if not (path / META).is_file():
            raise DSUError(f"{path} holds no {META}, so it is no unpacked model")
        return read_folder(path)
    if path.is_file():
        return read_folder(_unpack(path))
    return read_folder(_download(str(model_tag)))


def install_model(
    model_tag: str | Path, asr_exp: str | Path, tokenizer_dir: str | Path
) -> None:
    """Lay a packed model out as training in a recipe would have left it.

    Writes ``config.yaml`` and links ``model.pth`` and ``bpe.model`` (of the text) in
    ``asr_exp``, the language models likewise in ``asr_exp/lm`` and ``asr_exp/ngram``,
    and links the bundle as ``tokenizer_dir``; what the model does not have is not
    there afterwards.

    Raises:
        DSUError: there is no such model, or files that were not installed are in the
            way.
    """
    arguments = unpack_model(model_tag)
    config = read_config(arguments["asr_train_config"])
    tokenizer = (config.get("frontend_conf") or {}).get("tokenizer")
    asr_exp = Path(asr_exp)
    # First, since this refuses the folder of a trained model.
    _link(asr_exp / "model.pth", arguments["asr_model_file"])
    _link(Path(tokenizer_dir), Path(tokenizer).parent if tokenizer else None)
    _link(asr_exp / "bpe.model", config.get("bpemodel"))
    shutil.copyfile(arguments["asr_train_config"], asr_exp / "config.yaml")
    for folder in (asr_exp / "lm", asr_exp / "ngram"):
        shutil.rmtree(folder, ignore_errors=True)
    if "lm_file" in arguments:
        _link(asr_exp / "lm" / "model.pth", arguments["lm_file"])
        shutil.copyfile(arguments["lm_train_config"], asr_exp / "lm" / "config.yaml")
    if ngram := arguments.get("ngram_file"):
        _link(asr_exp / "ngram" / Path(ngram).name, ngram)


def _link(link: Path, target: str | Path | None) -> None:
    """Make ``link`` point to ``target``; None removes it."""
    if link.exists() and not link.is_symlink():
        raise DSUError(f"{link} is in the way of a downloaded model; remove it")
    link.unlink(missing_ok=True)
    if target is not None:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(target).absolute())


def _unpack(archive: Path) -> Path:
    # By content: a model packed again under the same name must not load the old one.
    target = cache_dir() / file_sha256(archive)[:32]
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        extract(archive, Path(temporary) / "model")
        try:
            os.rename(Path(temporary) / "model", target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    return target


def _download(tag: str) -> Path:
    found = _HUB_ID.fullmatch(tag)
    if found is None:
        raise DSUError(
            f"{tag} is no model: expected a zip made by pack, the folder it was "
            "unpacked to, or <user>/<name> of the Hugging Face hub"
        )
    repo, revision = found.groups()
    with explained(f"{tag} is no local file; download from the Hugging Face hub"):
        folder = Path(
            import_client().snapshot_download(
                repo, revision=revision, library_name="espnet"
            )
        )
    if not (folder / META).is_file():
        raise DSUError(
            f"{tag} on the Hugging Face hub holds no {META}, so it is no ESPnet model"
        )
    return folder
