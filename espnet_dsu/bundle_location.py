"""Where a bundle is: a directory, or a hub id to download."""

from __future__ import annotations

import re
from pathlib import Path

from espnet_dsu.errors import DSUError

CONFIG, QUANTIZER = "config.yaml", "quantizer.safetensors"
BPE, UPSTREAM, VOCODER = "bpe.model", "upstream", "vocoder"


def locate(path_or_tag: str | Path) -> Path:
    """Find a bundle directory: a path, its ``config.yaml``, or a hub id to download."""
    path = Path(path_or_tag)
    if path.name == CONFIG and path.is_file():
        return path.parent
    if (path / CONFIG).is_file():
        return path
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path_or_tag)) and not path.exists():
        return _download(str(path_or_tag))
    raise DSUError(
        f"{path_or_tag} is no tokenizer bundle: expected a directory with {CONFIG} "
        "(made by the train_tokenizer command), or the id of one on the Hugging Face "
        "hub"
    )


def _download(tag: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise DSUError(
            f"{tag} is no local bundle, and huggingface_hub, which could download it, "
            "is not installed: pip install 'espnet_dsu[hub]'"
        ) from error
    patterns = [CONFIG, QUANTIZER, BPE, f"{UPSTREAM}/*", f"{VOCODER}/*"]
    try:
        directory = Path(snapshot_download(tag, allow_patterns=patterns))
    except Exception as error:  # many kinds of network and hub errors, one remedy
        raise DSUError(
            f"{tag} is neither a local bundle nor could it be had from the Hugging "
            f"Face hub: {error}"
        ) from error
    if not (directory / CONFIG).is_file():
        raise DSUError(f"{tag} on the Hugging Face hub holds no {CONFIG}")
    return directory
