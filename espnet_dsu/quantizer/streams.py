"""Several quantizers side by side: each gives a stream of units of the same frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import (
    Frames,
    Quantizer,
    build_quantizer,
    quantizer_class,
    register_quantizer,
)
from espnet_dsu.quantizer.fit_report import FitReport
from espnet_dsu.quantizer.frame_set import as_frames


@register_quantizer
class StreamQuantizer(Quantizer):
    """One quantizer for each stream, on the whole frame or on a slice of it.

    Slices are the layers of an upstream whose frames lie side by side; quantizers of
    the same frames differ in their numbers of units.

    Args:
        streams: Of each stream ``name`` and ``conf`` of its quantizer, and ``first``,
            where the slice begins that it reads; the slice is as long as its ``dim``.
        dim: D, size of a frame.
    """

    name = "streams"

    def __init__(self, streams: Sequence[Mapping[str, Any]], dim: int) -> None:
        super().__init__()
        if not isinstance(streams, Sequence) or not streams:
            raise DSUError(f"streams are {streams!r}, expected one quantizer for each")
        parts = []
        for number, stream in enumerate(streams):
            if set(stream) != {"name", "conf", "first"}:
                raise DSUError(
                    f"stream {number} is {dict(stream)}, expected the keys name, conf "
                    "and first"
                )
            parts.append(build_quantizer(stream["name"], stream["conf"]))
            first, last = stream["first"], stream["first"] + parts[-1].dim
            if not 0 <= first < last <= dim:
                raise DSUError(
                    f"stream {number} reads {first} to {last} of frames of size {dim}"
                )
        self.dim = dim
        self.firsts = [stream["first"] for stream in streams]
        self.parts = torch.nn.ModuleList(parts)
        self.vocab_sizes = sum((part.vocab_sizes for part in parts), ())

    @classmethod
    def of(
        cls, parts: Sequence[Quantizer], firsts: Sequence[int], dim: int
    ) -> StreamQuantizer:
        """Put trained quantizers side by side, each at the ``first`` of its slice."""
        streams = [{**p.config(), "first": first} for p, first in zip(parts, firsts)]
        tensors = {
            f"{number}.{name}": tensor
            for number, part in enumerate(parts)
            for name, tensor in part.tensors().items()
        }
        return cls.from_tensors({"streams": streams, "dim": dim}, tensors)

    def fit(self, frames: Iterable[Frames] | Frames) -> tuple[FitReport, ...]:
        """Fit each quantizer on its slice of the frames; see :meth:`Quantizer.fit`.

        The slices are views: beside the frames it takes what the largest of the
        quantizers takes.
        """
        whole = as_frames(frames, self.dim)
        reports = (part.fit(whole[:, at]) for part, at in self._slices())
        return tuple(report for found in reports for report in found)

    def assign(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the units of ``frames (..., D)`` as int64 ``(..., S)``."""
        if frames.ndim == 0 or frames.shape[-1] != self.dim:
            raise DSUError(
                f"frames have shape {tuple(frames.shape)}, expected (..., {self.dim}); "
                "use the upstream and layers that these streams were trained with"
            )
        found = [part.assign(frames[..., at]) for part, at in self._slices()]
        return torch.cat(found, dim=-1)

    def stream_centroids(self) -> list[torch.Tensor]:
        """Return the centroids ``(K, D)`` of each stream, D being that of its slice."""
        return [c for part, _ in self._slices() for c in part.stream_centroids()]

    def stream_frames(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Return the slices of ``frames (..., D)`` that the streams read."""
        pairs = ((part, frames[..., at]) for part, at in self._slices())
        return [found for part, cut in pairs for found in part.stream_frames(cut)]

    def config(self) -> dict[str, Any]:
        """Return ``{"name": "streams", "conf": ...}``, with the conf of every part."""
        streams = [{**part.config(), "first": at.start} for part, at in self._slices()]
        return {"name": self.name, "conf": {"streams": streams, "dim": self.dim}}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of every part, ``<stream>.<name>``."""
        return {
            f"{number}.{name}": tensor
            for number, (part, _) in enumerate(self._slices())
            for name, tensor in part.tensors().items()
        }

    @classmethod
    def from_tensors(
        cls, conf: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> StreamQuantizer:
        """Rebuild trained streams; see :meth:`Quantizer.from_tensors`."""
        model = build_quantizer(cls.name, conf)
        assert isinstance(model, cls)  # for the type checker
        left = dict(tensors)
        for number, stream in enumerate(conf["streams"]):
            names = [name for name in left if name.partition(".")[0] == str(number)]
            own = {name.partition(".")[2]: left.pop(name) for name in names}
            part = quantizer_class(stream["name"]).from_tensors(stream["conf"], own)
            model.parts[number] = part
        if left:
            raise DSUError(
                f"tensors {sorted(left)} belong to none of the {len(conf['streams'])} "
                "streams; the file belongs to another quantizer or is damaged"
            )
        return model

    def _slices(self) -> list[tuple[Quantizer, slice]]:
        """Return each part and the slice of the frame that it reads."""
        return [
            (part, slice(first, first + part.dim))  # type: ignore[misc]
            for part, first in zip(self.parts, self.firsts)
        ]
