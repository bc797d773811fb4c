"""What every quantizer offers, and the registry that finds one by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.fit_report import FitReport

Frames = np.ndarray | torch.Tensor


class Quantizer(torch.nn.Module, ABC):
    """Maps frames ``(..., D)`` to units ``(..., S)``.

    Attributes:
        name: The word that names this quantizer in a bundle's ``config.yaml``.
        vocab_sizes: Number of units of each stream.
        dim: D, size of a frame.
    """

    name: str
    vocab_sizes: tuple[int, ...]
    dim: int

    @property
    def num_streams(self) -> int:
        """S, the number of parallel unit sequences."""
        return len(self.vocab_sizes)

    @property
    def vocab_size(self) -> int:
        """The greatest number of units of a stream."""
        return max(self.vocab_sizes)

    @abstractmethod
    def fit(self, frames: Iterable[Frames] | Frames) -> tuple[FitReport, ...]:
        """Learn from frames ``(N, D)``, or from an iterable of parts ``(n, D)``.

        One array, tensor or memory map is used where it lies, without a copy. In a
        ``torch.distributed`` group each rank passes its own part of the frames, and all
        come to the same result.

        Returns:
            how it went, a report for each stream.

        Raises:
            DSUError: The frames do not fit the options, or the result is degenerate.
        """

    @abstractmethod
    def assign(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the units of ``frames (..., D)`` as int64 ``(..., S)``.

        Raises:
            DSUError: Wrong D, a frame that is not finite, or no training yet.
        """

    @abstractmethod
    def stream_centroids(self) -> list[torch.Tensor]:
        """Return what each stream's units stand for, ``(K, D)`` per stream.

        Row k is the frame, or the slice of it that the stream reads, of unit k.
        """

    def stream_frames(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Return what each stream reads of ``frames (..., D)``: all, or a slice."""
        return [frames] * self.num_streams

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return ``{"name": ..., "conf": ...}`` in plain YAML types."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the learned state, by name, for a safetensors file."""

    @classmethod
    @abstractmethod
    def from_tensors(
        cls, conf: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> Quantizer:
        """Rebuild a trained quantizer from its ``conf`` and its ``tensors``.

        Raises:
            DSUError: A name, shape, dtype or value is not what ``conf`` announces.
        """


_QuantizerClass = TypeVar("_QuantizerClass", bound=type[Quantizer])
_QUANTIZERS: dict[str, type[Quantizer]] = {}


def register_quantizer(cls: _QuantizerClass) -> _QuantizerClass:
    """Class decorator: make ``cls`` known by its ``name``; the same class may repeat.

    Raises:
        DSUError: Another class holds the name already.
    """
    known = _QUANTIZERS.setdefault(cls.name, cls)
    if known is not cls:
        raise DSUError(
            f"quantizer name {cls.name!r} is taken: {known.__module__}."
            f"{known.__qualname__} has it, {cls.__module__}.{cls.__qualname__} asks "
            "for it; give one of them another name"
        )
    return cls


def quantizer_class(name: str) -> type[Quantizer]:
    """Return the class registered as ``name``.

    Raises:
        DSUError: Nothing is registered under this name.
    """
    if name not in _QUANTIZERS:
        raise DSUError(
            f"unknown quantizer {name!r}; known are {', '.join(sorted(_QUANTIZERS))}"
        )
    return _QUANTIZERS[name]


def build_quantizer(name: str, conf: Mapping[str, Any]) -> Quantizer:
    """Return an untrained quantizer of this name with these constructor options.

    Raises:
        DSUError: The name is unknown, or it has no such options.
    """
    cls = quantizer_class(name)
    try:
        return cls(**conf)
    except TypeError as error:
        raise DSUError(f"quantizer {name!r} refuses conf {dict(conf)}: {error}")


def check_finite(frames: torch.Tensor, what: str) -> None:
    """Raise a DSUError naming ``what`` unless every value of ``(n, D)`` is finite."""
    good = torch.isfinite(frames).all(dim=-1)
    if not good.all():
        raise DSUError(
            f"{what}: {int((~good).sum())} of {len(good)} frames hold NaN or infinity, "
            "expected finite values; look for NaN samples in the audio, or for an "
            "upstream that overflows in half precision"
        )
