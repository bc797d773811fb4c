"""The arrays and the k-means models in a pickle or a joblib file.

joblib pickles a wrapper in place of each array and writes the array's bytes behind it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.foreign.byte_source import ByteSource
from espnet_dsu.foreign.pickle_data import Name, Node, PickleMachine

_KMEANS = {
    f"sklearn.cluster.{module}.{name}"
    for module in ("_kmeans", "k_means_")
    for name in ("KMeans", "MiniBatchKMeans")
}
_WRAPPERS = {
    f"{joblib}.numpy_pickle.NumpyArrayWrapper"
    for joblib in ("joblib", "sklearn.externals.joblib")
}
_RECONSTRUCT = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_FROM_BUFFER = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_DTYPE, _ENCODE = "numpy.dtype", "_codecs.encode"
_NDARRAY = Name("numpy", "ndarray")
_MOST_AXES = 8
# What else stands in a fitted model: numbers, and the state of a random generator.
_UNREAD = {f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")} | {
    "numpy.random.__RandomState_ctor",
    "numpy.random._mt19937.MT19937",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
}
_ALLOWED = _KMEANS | _WRAPPERS | _RECONSTRUCT | _FROM_BUFFER | _UNREAD
_ALLOWED |= {_DTYPE, _ENCODE, str(_NDARRAY)}


def read_pickle(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    """Read what a pickle or joblib file holds: its kind, and its arrays by name.

    A k-means model gives its ``cluster_centers_``, a dict its arrays, an array itself.

    Raises:
        DSUError: anything else is in it, named; or it is damaged.
    """
    try:
        with ByteSource(path) as source:
            content = PickleMachine(source, _is_allowed, _read_wrapped).run()
        return _contents(content)
    except DSUError as error:
        raise DSUError(
            f"{path} {error} (nothing in it was executed; expected a KMeans or "
            "MiniBatchKMeans of scikit-learn, or arrays of numbers)"
        ) from None


def _is_allowed(name: Name) -> bool:
    return str(name) in _ALLOWED


def _contents(content: Any) -> tuple[str, dict[str, np.ndarray]]:
    if isinstance(content, Node) and str(content.function) in _KMEANS:
        state = content.state if isinstance(content.state, dict) else {}
        if "cluster_centers_" not in state:
            raise DSUError(f"holds a {content.function} that was never fitted")
        centers = state["cluster_centers_"]
        return str(content.function), {"cluster_centers_": _to_array(centers)}
    if isinstance(content, dict):
        arrays = {k: v for k, v in content.items() if isinstance(v, Node)}
        return "dict", {str(key): _to_array(value) for key, value in arrays.items()}
    return "array", {"array": _to_array(content)}


def _to_array(value: Any) -> np.ndarray:
    """Make the array that a node stands for."""
    function = str(value.function) if isinstance(value, Node) else ""
    if function in _WRAPPERS and isinstance(value.state, np.ndarray):
        return value.state
    if function in _FROM_BUFFER and len(value.args) == 4:
        data, dtype, shape, order = value.args
        return _shaped(_to_dtype(dtype), _to_bytes(data), shape, order == "F")
    state = value.state if function in _RECONSTRUCT else None
    if isinstance(state, tuple) and len(state) == 5 and value.args[:1] == (_NDARRAY,):
        _, shape, dtype, fortran, data = state
        return _shaped(_to_dtype(dtype), _to_bytes(data), shape, fortran is True)
    raise DSUError(f"holds {function or type(value).__name__} where an array should be")


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, Node) and str(value.function) == _ENCODE:
        # How pickle's protocol 2 spells bytes.
        text, *encoding = value.args
        if isinstance(text, str) and encoding == ["latin1"]:
            return text.encode("latin1")
    if not isinstance(value, bytes | bytearray):
        raise DSUError(f"holds an array whose data are {type(value).__name__}")
    return bytes(value)


def _to_dtype(value: Any) -> np.dtype:
    """Make the dtype that a node stands for; numbers only."""
    code = value.args[0] if isinstance(value, Node) and value.args else None
    if not isinstance(value, Node) or str(value.function) != _DTYPE:
        raise DSUError("holds an array without a dtype")
    if not isinstance(code, str) or not re.fullmatch("b1|[iu][1248]|f[248]", code):
        raise DSUError(f"holds an array of {str(code)[:20]}, expected numbers")
    order = (value.state[1:2] or "=")[0] if isinstance(value.state, tuple) else "="
    if order not in ("<", ">", "|", "="):
        raise DSUError("holds an array of unknown byte order")
    return np.dtype(order + code)


def _shaped(dtype: np.dtype, data: bytes, shape: Any, fortran: bool) -> np.ndarray:
    size = _size(dtype, shape)
    if len(data) != size:
        raise DSUError(
            f"is damaged: an array of {size} bytes, of which {len(data)} are there"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _size(dtype: np.dtype, shape: Any) -> int:
    good = isinstance(shape, tuple) and len(shape) <= _MOST_AXES
    if not good or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise DSUError("holds an array without a shape")
    return math.prod(shape) * dtype.itemsize


def _read_wrapped(node: Node, source: ByteSource) -> None:
    """Read the bytes that follow a joblib wrapper; the array becomes its state."""
    if str(node.function) not in _WRAPPERS:
        return
    state = node.state if isinstance(node.state, dict) else {}
    if state.get("subclass") != _NDARRAY:
        raise DSUError("holds an array that is no numpy.ndarray")
    dtype, shape = _to_dtype(state.get("dtype")), state.get("shape")
    if state.get("numpy_array_alignment_bytes") is not None:
        padding = source.read(1) or b"\0"
        source.read(padding[0])
    data = source.read(_size(dtype, shape))
    node.state = _shaped(dtype, data, shape, state.get("order") == "F")
