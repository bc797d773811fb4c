"""Weights as content: their digest, and the safe reading of weight files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from espnet_dsu.errors import DSUError

# Two spellings of weight norm, old and new; the weights are the same.
_SPELLINGS = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def weights_digest(module: nn.Module, wanted: Callable[[str], bool]) -> str:
    """Return ``sha256:...`` over names, shapes and values of some weights of a module.

    Values count as float32, so storing them with more or fewer bits makes no
    difference as long as the values are the same.

    Args:
        module: whose parameters and buffers are hashed.
        wanted: tells by its name whether a weight determines the frames.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_canonical(module).items()):
        if wanted(name):
            digest.update(f"{name}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _canonical(module: nn.Module) -> dict[str, Tensor]:
    weights = {}
    for name, tensor in module.state_dict().items():
        for spelling, short in _SPELLINGS.items():
            name = name.replace(spelling, short)
        weights[name] = tensor
    return weights


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors or a torch file, executing nothing.

    Raises:
        DSUError: missing, damaged, or holding anything but named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    # Damage shows as many kinds of error, among them ones of their own kind.
    except Exception as error:
        raise DSUError(f"cannot read weights from {path}: {one_line(error)}") from error
    if not isinstance(weights, dict) or not all(
        isinstance(tensor, Tensor) for tensor in weights.values()
    ):
        raise DSUError(f"{path}: expected a state dict, a mapping of names to tensors")
    return weights


def one_line(error: Exception) -> str:
    """Return the start of what an error of another library says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."


def check_arrived(
    source: str | Path,
    missing: Iterable[str],
    unexpected: Iterable[str],
    remedy: str = "it does not belong to this model",
) -> None:
    """Refuse weights that do not fit the model one to one.

    Raises:
        DSUError: naming the first few that are missing or unexpected.
    """
    for what, found in (
        ("lacks", missing),
        ("has, unknown to the model,", unexpected),
    ):
        if names := sorted(found):
            shown = ", ".join([*names[:3], *["..."][: len(names) > 3]])
            raise DSUError(f"{source} {what} {len(names)} weights: {shown}; {remedy}")
