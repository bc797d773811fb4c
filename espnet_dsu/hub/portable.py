"""Training configs that travel: free of the machine's paths, true where they arrive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from espnet_dsu import bundle
from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.registry import UpstreamName, parse_upstream_name

# What only training reads. These hold paths of the machine that trained.
_TRAINING_ONLY: dict[str, Any] = {
    "config": None,
    "train_shape_file": [],
    "valid_shape_file": [],
    "train_data_path_and_name_and_type": [],
    "valid_data_path_and_name_and_type": [],
    "init_param": [],
    "pretrain_path": None,
    "deepspeed_config": None,
    "dist_init_method": "env://",
    "rir_scp": None,
    "noise_scp": None,
}


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; nothing in it is executed.

    Raises:
        DSUError: if it is missing or something else.
    """
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DSUError(f"{path} cannot be read as YAML: {reason}") from error
    if not isinstance(config, dict):
        raise DSUError(f"{path} holds {type(config).__name__}, expected a mapping")
    return config


def tokenizer_of(config: dict[str, Any]) -> str | None:
    """Return the bundle's ``config.yaml`` that a training config names, if it does."""
    return config.get("tokenizer") or (config.get("frontend_conf") or {}).get(
        "tokenizer"
    )


def is_inside(name: str) -> bool:
    """Say whether a name stays in the folder that it is relative to."""
    return not os.path.isabs(name) and os.path.normpath(name).split(os.sep)[0] != ".."


def portable(config: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """Return a training config without what only training on this machine needs.

    Raises:
        DSUError: if what remains names a path that would not move along.
    """
    config = {key: _TRAINING_ONLY.get(key, value) for key, value in config.items()}
    for text in _strings(config):
        if os.path.isabs(text) or (os.path.exists(text) and not is_inside(text)):
            raise DSUError(
                f"{source} names {text}, which lies outside the recipe; train with "
                "relative paths, so that the model can move"
            )
    return config


def referenced_files(config: dict[str, Any], source: str | Path) -> list[str]:
    """List the files that a portable config names, with whole bundles.

    Raises:
        DSUError: if a piece is missing, or would not be complete elsewhere.
    """
    for key, path in _pieces(config):
        if not os.path.isfile(path):
            raise DSUError(f"{path} is missing, the {key} of {source}")
    found = dict.fromkeys(text for text in _strings(config) if os.path.isfile(text))
    for path in list(found):
        if is_bundle_config(path):
            _check_upstream(Path(path).parent)
            found |= dict.fromkeys(map(str, bundle.own_files(Path(path).parent)))
    return list(found)


def is_bundle_config(path: str | Path) -> bool:
    """Say whether a file is the ``config.yaml`` of a tokenizer bundle."""
    path = Path(path)
    return path.name == bundle.CONFIG and (path.parent / bundle.QUANTIZER).is_file()


def portable_bundle(config: dict[str, Any]) -> dict[str, Any]:
    """Return a bundle's config without the folder that an upstream came from."""
    upstream = config["upstream"]
    name = parse_upstream_name(upstream["name"])
    if not _is_local(name.checkpoint):
        return config
    moved = UpstreamName(name.family, Path(name.checkpoint).name, name.layers)
    conf = {k: v for k, v in upstream["conf"].items() if k != "checkpoint"}
    return {**config, "upstream": {**upstream, "name": str(moved), "conf": conf}}


def localize(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a config whose relative paths are those of the files in ``folder``.

    Raises:
        DSUError: naming the piece of the model that the folder lacks.
    """

    def absolute(text: str) -> str:
        path = os.path.join(folder, text)
        return path if is_inside(text) and os.path.isfile(path) else text

    config = _map_strings(config, absolute)
    for key, path in _pieces(config):
        if not os.path.isfile(path):
            raise DSUError(
                f"{folder} lacks {path}, the {key} of the model; download or unpack "
                "the model again"
            )
    return config


def _check_upstream(directory: Path) -> None:
    upstream = bundle.load(directory).upstream
    if upstream.embedded is not None:
        return
    checkpoint = parse_upstream_name(upstream.name).checkpoint
    for path in (checkpoint, str(upstream.conf.get("checkpoint", ""))):
        if _is_local(path):
            raise DSUError(
                f"the bundle {directory} names its upstream by a local path ({path}), "
                "which others do not have; train the tokenizer with "
                "--embed_upstream true"
            )


def _is_local(path: str) -> bool:
    """Say whether a checkpoint's name is a path, maybe one that is gone by now."""
    return os.path.isabs(path) or os.path.exists(path)


def _pieces(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what the files that a model needs are for, and their paths."""
    named = {
        "unit tokenizer": tokenizer_of(config),
        "text's subword model": config.get("bpemodel"),
        "statistics of features": (config.get("normalize_conf") or {}).get(
            "stats_file"
        ),
    }
    return ((key, str(path)) for key, path in named.items() if path is not None)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            # Tokens are text, whatever they look like.
            if key != "token_list":
                yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def _map_strings(value: Any, function: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        return {
            key: item if key == "token_list" else _map_strings(item, function)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_map_strings(item, function) for item in value]
    return value
