"""Centroids from the k-means files of other toolkits, whatever their format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.pickle_arrays import read_pickle
from espnet_dsu.foreign.pickle_data import shown
from espnet_dsu.upstream.weights import one_line

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
# A pickle of one number, with which torch's files before 1.6 begin.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# In messages.
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Centroids:
    """Centroids and where they come from.

    Attributes:
        values: (K, D) float32, finite.
        kind: what the file held, e.g. ``sklearn.cluster._kmeans.MiniBatchKMeans``.
    """

    values: np.ndarray
    kind: str


def read_centroids(path: str | Path, key: str | None = None) -> Centroids:
    """Read a k-means file without executing anything in it.

    Formats: joblib (plain, zlib, gzip, bz2, xz, lzma) and pickle from protocol 2, of
    scikit-learn's KMeans or MiniBatchKMeans or of arrays; npy; torch; safetensors. The
    content decides which it is, except that safetensors go by their suffix.

    Args:
        path: the file.
        key: which array, where there are several.

    Raises:
        DSUError: what is in it is not centroids; the message names what was found.
    """
    path = Path(path)
    kind, arrays = _read(path)
    return Centroids(_float32(path, _choose(path, arrays, key)), kind)


def _read(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    try:
        with open(path, "rb") as f:
            start = f.read(len(_OLD_TORCH))
    except OSError as error:
        raise DSUError(f"cannot read {path}: {error.strerror}") from None
    if start.startswith(_NPY):
        return "npy", {"array": _read_npy(path)}
    if path.suffix == ".safetensors":
        return "safetensors", _guarded(path, load_file)
    if start.startswith(_ZIP) or start == _OLD_TORCH:
        return "torch", _arrays(_load_torch(path))
    return read_pickle(path)


def _read_npy(path: Path) -> np.ndarray:
    # A map refuses a shape that is larger than the file, before anything is allocated.
    return np.array(
        _guarded(path, lambda p: np.load(p, mmap_mode="r", allow_pickle=False))
    )


def _load_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # What torch says to do about it, load it unsafely, is not repeated.
    except Exception as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        found = (
            f"names {shown(named[1])}"
            if named
            else f"is damaged ({type(error).__name__})"
        )
        raise DSUError(
            f"{path} {found}; expected a torch file of tensors (nothing in it was "
            "executed)"
        ) from None


def _guarded(path: Path, load: Callable[[Path], Any]) -> Any:
    """Call a loader that executes nothing; whatever it says becomes a DSUError."""
    try:
        return load(path)
    # Each library has errors of its own for damage and for what it refuses.
    except Exception as error:
        raise DSUError(f"{path} cannot be read: {one_line(error)}") from error


def _arrays(content: Any) -> dict[str, np.ndarray]:
    """Return the tensors of a torch file: one, or those of a dict."""
    named = content if isinstance(content, dict) else {"array": content}
    return {
        str(name): value.detach().float().numpy()
        for name, value in named.items()
        if isinstance(value, torch.Tensor)
    }


def _choose(
    path: Path, arrays: Mapping[str, np.ndarray], key: str | None
) -> np.ndarray:
    """Return the array named ``key``, or the only one with two axes."""
    tables = {name: a for name, a in arrays.items() if a.ndim == 2}
    if key is not None and key in tables:
        return tables[key]
    if key is None and len(tables) == 1:
        return next(iter(tables.values()))
    shapes = [f"{shown(name)} {array.shape}" for name, array in sorted(arrays.items())]
    found = ", ".join(shapes[:_MOST_NAMED]) or "no arrays"
    wanted = "one array (K, D)" if key is None else f"an array {key!r} (K, D)"
    hint = "; name it with --key" if len(tables) > 1 else ""
    raise DSUError(f"{path} holds {found}; expected {wanted}{hint}")


def _float32(path: Path, array: np.ndarray) -> np.ndarray:
    if len(array) < 2 or not array.shape[1] or array.dtype.kind not in "fiu":
        raise DSUError(
            f"{path} holds {array.shape} {array.dtype}, expected (K, D) numbers of at "
            "least two centroids"
        )
    with np.errstate(over="ignore"):
        values = np.array(array, dtype=np.float32, order="C")
    if bad := int((~np.isfinite(values)).any(axis=1).sum()):
        raise DSUError(f"{path}: {bad} of {len(values)} centroids are not finite")
    return values
