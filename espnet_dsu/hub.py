"""Trained models as archives: packed by ESPnet's own pack, unpacked, uploaded."""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from espnet_dsu import bundle
from espnet_dsu.errors import DSUError
from espnet_dsu.units.files import atomic_path, file_sha256


def pack_asr(
    outpath: str | Path,
    asr_train_config: str | Path,
    asr_model_file: str | Path,
    lm_train_config: str | Path | None = None,
    lm_file: str | Path | None = None,
    option: list[str] | None = None,
) -> None:
    """Pack an ASR model and its tokenizer bundle into one archive.

    Args:
        outpath: the zip to write; run from the folder that the paths in the training
            config are relative to (the recipe's).
        asr_train_config: ``config.yaml`` of the training.
        asr_model_file: the checkpoint.
        lm_train_config: of the language model, if one belongs to it.
        lm_file: its checkpoint.
        option: further files, e.g. RESULTS.md or the text's bpe.model.

    Raises:
        DSUError: if the archive could not be loaded elsewhere, and why.
    """
    from espnet2.main_funcs.pack_funcs import pack

    with open(asr_train_config, encoding="utf-8") as f:
        config = yaml.safe_load(f)
    files = {"asr_model_file": asr_model_file, "lm_file": lm_file}
    configs = {"asr_train_config": asr_train_config, "lm_train_config": lm_train_config}
    others = [*(option or []), *_referenced_files(config)]
    for path in [*files.values(), *configs.values(), *others]:
        if path is not None and not Path(path).is_file():
            raise DSUError(f"{path} is missing, so the model cannot be packed")
    with atomic_path(outpath) as temporary:
        # ESPnet's pack takes the kind of archive from the suffix.
        zipped = temporary.with_suffix(".zip")
        pack(
            files={k: v for k, v in files.items() if v},
            yaml_files={k: v for k, v in configs.items() if v},
            option=list(dict.fromkeys(others)),
            outpath=zipped,
        )
        os.replace(zipped, temporary)


def _referenced_files(config: dict[str, Any]) -> list[str]:
    """List the files that a training config names and inference needs."""
    paths = []
    if config.get("bpemodel"):
        paths.append(config["bpemodel"])
    tokenizer = (config.get("frontend_conf") or {}).get("tokenizer")
    if tokenizer:
        paths += _bundle_files(Path(tokenizer))
    for path in paths:
        if Path(path).is_absolute() or Path(path).resolve() != Path.cwd() / path:
            # ESPnet's unpack rewrites a path in the config only if it is the very
            # name in the archive, which is relative and without links.
            raise DSUError(
                f"the training config names {path}, which is absolute or a link; train "
                "with a relative path that is no link, so that the model can move"
            )
    return paths


def _bundle_files(config: Path) -> list[str]:
    directory = bundle.locate(config)
    content = bundle.load(directory)
    checkpoint = content.upstream.name.partition(":")[2].rpartition("@")[0]
    if content.upstream.embedded is None and Path(checkpoint).exists() and checkpoint:
        raise DSUError(
            f"the bundle {directory} names its upstream by a local path "
            f"({content.upstream.name}), which others do not have; train the tokenizer "
            "with --embed_upstream true"
        )
    return [str(path) for path in bundle.own_files(directory)]


def unpack_model(model_tag: str | Path) -> dict[str, Any]:
    """Give the constructor arguments of a packed model, unpacking it if needed.

    Args:
        model_tag: a zip, the folder it was unpacked to, or a hub id or model zoo tag.
    """
    path = Path(model_tag)
    if (path / "meta.yaml").is_file():
        return _read_unpacked(path)
    if path.is_file():
        return _unpack_zip(path)
    return _download(str(model_tag))


def _read_unpacked(directory: Path) -> dict[str, Any]:
    meta = yaml.safe_load((directory / "meta.yaml").read_text(encoding="utf-8"))
    named = {**meta["yaml_files"], **meta["files"]}
    found = {key: directory / name for key, name in named.items()}
    for path in found.values():
        if not path.is_file():
            raise DSUError(f"{path} is missing; unpack the model again")
    return {key: str(path) for key, path in found.items()}


def _unpack_zip(archive: Path) -> dict[str, Any]:
    from espnet2.main_funcs.pack_funcs import unpack

    # By content: a model packed again under the same name must not load the old one.
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    target = cache / "espnet_dsu" / file_sha256(archive)[:32]
    if not (target / ".done").exists():
        check_archive(archive)
        shutil.rmtree(target, ignore_errors=True)
        unpack(archive, target, use_cache=False)
        (target / ".done").touch()
    return _read_unpacked(target)


def check_archive(archive: Path) -> None:
    """Refuse an archive that is no zip or would write outside its folder."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except zipfile.BadZipFile as error:
        raise DSUError(f"{archive} is no zip archive made by pack: {error}") from error
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DSUError(f"{archive} holds {name!r}, a path outside the archive")
    if "meta.yaml" not in names:
        raise DSUError(f"{archive} holds no meta.yaml, so it was not made by pack")


def _download(tag: str) -> dict[str, Any]:
    try:
        from espnet_model_zoo.downloader import ModelDownloader
    except ImportError as error:
        raise DSUError(
            f"{tag} is no local file or folder, and espnet_model_zoo, which could "
            "download it, is not installed: pip install 'espnet_dsu[hub]'"
        ) from error
    try:
        return ModelDownloader().download_and_unpack(tag)
    except Exception as error:  # many kinds of network and hub errors, one remedy
        raise DSUError(
            f"{tag} is neither a local model nor could it be downloaded: {error}"
        ) from error


def upload(archive: str | Path, hf_repo: str) -> str:
    """Upload a packed model, unpacked, to a repository of the Hugging Face hub.

    Args:
        archive: made by :func:`pack_asr`.
        hf_repo: ``<user or organisation>/<name>``; made if it does not exist.

    Returns:
        the address of the commit.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise DSUError(
            "huggingface_hub is not installed: pip install 'espnet_dsu[hub]'"
        ) from error
    check_archive(Path(archive))
    api = HfApi()
    api.create_repo(hf_repo, exist_ok=True)
    folder = Path(archive).with_suffix(".upload")
    try:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        commit = api.upload_folder(repo_id=hf_repo, folder_path=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    logging.info(f"uploaded {archive} to {hf_repo}")
    return str(commit)
