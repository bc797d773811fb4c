"""The tokenizer bundle on disk: a directory without a line of code in it.

``config.yaml`` says what the bundle is, ``quantizer.safetensors`` holds the quantizer,
``bpe.model`` (optional) the unit pieces, ``upstream/`` (optional) the upstream's
weights. Every file is listed with its SHA-256 and checked when the bundle is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file

from espnet_dsu.bundle_location import BPE, CONFIG, QUANTIZER, UPSTREAM, locate
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import Quantizer, quantizer_class
from espnet_dsu.units.files import file_sha256
from espnet_dsu.units.spec import UnitSpec
from espnet_dsu.upstream import Upstream
from espnet_dsu.upstream.reference import UpstreamRef
from espnet_dsu.upstream.windows import DEFAULT_WINDOWING, Windowing
from espnet_dsu.version import __version__

__all__ = ["BPE", "CONFIG", "QUANTIZER", "UPSTREAM", "Bundle", "UpstreamRef"]
__all__ += ["fingerprint", "load", "locate", "save"]

FORMAT_VERSION = 1
_KEYS = {"format_version", "espnet_dsu_version", "spec", "upstream", "quantizer"}
_KEYS |= {"files", "windowing"}


@dataclass(frozen=True)
class Bundle:
    """What a bundle directory holds."""

    upstream: UpstreamRef
    quantizer: Quantizer
    spec: UnitSpec
    bpe_model: bytes | None
    windowing: Windowing = DEFAULT_WINDOWING

    def with_windowing(self, windowing: Windowing) -> Bundle:
        """Cut long audio otherwise, which makes it another unit space."""
        named = fingerprint(self.upstream.identity, self.quantizer, windowing)
        spec = replace(self.spec, fingerprint=named)
        return replace(self, spec=spec, windowing=windowing)


def fingerprint(
    identity: dict[str, Any],
    quantizer: Quantizer,
    windowing: Windowing = DEFAULT_WINDOWING,
) -> str:
    """Hash what decides the units: the upstream's identity and the quantizer.

    The windowing of long audio is left out where it is the default.
    """
    digest = hashlib.sha256()
    facts = {"upstream": identity, "quantizer": quantizer.config()}
    if windowing != DEFAULT_WINDOWING:
        facts["windowing"] = windowing.to_dict()
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(quantizer.tensors().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def save(
    path: Path,
    content: Bundle,
    embed: Upstream | None = None,
    add: Callable[[Path], None] | None = None,
) -> None:
    """Write a bundle at ``path``: all of it, or nothing.

    Args:
        path: the directory; made anew or replaced as a whole.
        content: what to write.
        embed: the upstream whose weights go into the bundle.
        add: writes further files into the directory, which loading ignores.
    """
    if path.exists() and any(path.iterdir()) and not (path / CONFIG).is_file():
        raise DSUError(
            f"{path} exists and is no tokenizer bundle; name another directory"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write_files(temporary, content, embed)
        if add is not None:
            add(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as f:
                    os.fsync(f.fileno())
        _replace_directory(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_files(directory: Path, content: Bundle, embed: Upstream | None) -> None:
    tensors = content.quantizer.tensors()
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        directory / QUANTIZER,
    )
    if content.bpe_model is not None:
        (directory / BPE).write_bytes(content.bpe_model)
    if content.upstream.embedded is not None:
        shutil.copytree(content.upstream.embedded, directory / UPSTREAM)
    elif embed is not None:
        # Writes nothing for a family without weights.
        embed.save_weights(directory / UPSTREAM)
    config = {
        "format_version": FORMAT_VERSION,
        "espnet_dsu_version": __version__,
        "spec": content.spec.to_dict(),
        "upstream": {
            "name": content.upstream.name,
            "conf": content.upstream.conf,
            "identity": content.upstream.identity,
        },
        "quantizer": content.quantizer.config(),
        "windowing": content.windowing.to_dict(),
        "files": _hashes(directory),
    }
    text = yaml.safe_dump(config, sort_keys=False)
    (directory / CONFIG).write_text(text, encoding="utf-8")


def _replace_directory(new: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        os.rename(path, old)
    os.rename(new, path)
    shutil.rmtree(old, ignore_errors=True)


def load(directory: Path) -> Bundle:
    """Read and check a bundle directory. Executes nothing.

    Raises:
        DSUError: naming the file that is missing, changed or not understood.
    """
    config = _read_config(directory / CONFIG)
    expected = config["files"]
    for name, sha256 in expected.items():
        _check_file(directory, name, sha256)
    if BPE not in expected and (directory / BPE).exists():
        raise DSUError(f"{directory / BPE} is not listed in {CONFIG}; remove it")
    spec = UnitSpec.from_dict(config["spec"], str(directory / CONFIG))
    named = config["quantizer"]
    quantizer = quantizer_class(named["name"]).from_tensors(
        named["conf"], load_file(directory / QUANTIZER)
    )
    named = config["upstream"]
    windowing = Windowing.from_dict(config["windowing"], str(directory / CONFIG))
    actual = fingerprint(named["identity"], quantizer, windowing)
    if actual != spec.fingerprint:
        raise DSUError(
            f"{directory} was changed: its content has the fingerprint {actual}, "
            f"{CONFIG} says {spec.fingerprint}; restore the bundle or train it again"
        )
    weights = directory / UPSTREAM
    upstream = UpstreamRef(
        named["name"],
        named["conf"],
        named["identity"],
        weights if any(name.startswith(f"{UPSTREAM}/") for name in expected) else None,
    )
    bpe_model = (directory / BPE).read_bytes() if BPE in expected else None
    return Bundle(upstream, quantizer, spec, bpe_model, windowing)


def own_files(directory: Path) -> list[Path]:
    """Return the files that make a bundle; others beside them are records."""
    names = _read_config(directory / CONFIG)["files"]
    return sorted([directory / CONFIG, *(directory / name for name in names)])


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DSUError(f"{path} cannot be read as YAML: {error}") from error
    if isinstance(config, dict):
        # Bundles from before long audio was cut do not say.
        config.setdefault("windowing", DEFAULT_WINDOWING.to_dict())
    if not isinstance(config, dict) or set(config) != _KEYS:
        found = sorted(config) if isinstance(config, dict) else config
        raise DSUError(
            f"{path} holds {found}, expected the keys {sorted(_KEYS)} of a tokenizer "
            "bundle"
        )
    if config["format_version"] != FORMAT_VERSION:
        raise DSUError(
            f"{path} has format {config['format_version']}, this espnet_dsu reads "
            f"{FORMAT_VERSION}; install the release that wrote it "
            f"({config['espnet_dsu_version']})"
        )
    if not isinstance(config["files"], dict) or QUANTIZER not in config["files"]:
        raise DSUError(
            f"{path}: files is {config['files']!r}, {QUANTIZER} must be in it"
        )
    return config


def _check_file(directory: Path, name: str, sha256: str) -> None:
    path = directory / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DSUError(f"{directory / CONFIG} lists {name}, a path outside the bundle")
    if not path.is_file():
        raise DSUError(f"{path} is missing from the bundle; copy the whole directory")
    actual = file_sha256(path)
    if actual != sha256:
        raise DSUError(
            f"{path} was changed: SHA-256 {actual[:16]}..., expected {sha256[:16]}...; "
            "restore the bundle or train it again"
        )


def _hashes(directory: Path) -> dict[str, str]:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {p.relative_to(directory).as_posix(): file_sha256(p) for p in files}
