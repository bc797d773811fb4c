"""The contract of an upstream, and resampling to its rate."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.registry import UpstreamName


class Upstream(nn.Module, ABC):
    """Turns waveforms into frames; an utterance's frames depend on itself alone.

    An upstream is always in eval mode: ``train()`` changes nothing.

    Attributes:
        family: the part of the name before the colon.
        layered: whether the name carries a layer.
        conf_keys: the options that ``build`` takes.
        name: the name it was built from.
        sample_rate: of the waveforms it takes, in Hz.
        frame_shift: samples from one frame to the next.
        dim: size D of a frame.
        num_layers: layers of the model it was built from (0: a family without layers).
        layer: whose output the frames are (1-based; 0 = input of the first layer).
    """

    family: ClassVar[str]
    layered: ClassVar[bool]
    conf_keys: ClassVar[tuple[str, ...]] = ()

    name: UpstreamName
    sample_rate: int
    frame_shift: int
    dim: int
    num_layers: int = 0
    layer: int | None = None

    @classmethod
    @abstractmethod
    def build(cls, name: UpstreamName, conf: Mapping[str, Any]) -> Upstream:
        """Build from a parsed name and checked option names; see ``build_upstream``."""

    @abstractmethod
    def num_frames(self, num_samples: int) -> int:
        """Return how many frames so many samples give; 0 when too few for one."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return ``{"name": ..., "conf": {...}}`` that rebuilds this very upstream."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return all, and only, what determines the frames, as plain JSON values.

        Weights are in it by content: the same weights from another folder, from the
        hub, or saved by ``save_weights`` have the same identity.
        """

    @abstractmethod
    def save_weights(self, directory: Path) -> None:
        """Write a checkpoint that this family can load, as safetensors and text.

        Layers after the wanted one are left out. Without weights, nothing is written.
        """

    @classmethod
    @abstractmethod
    def tag_of(cls, name: UpstreamName, conf: Mapping[str, Any]) -> str:
        """Return the tag of what ``build`` would make; loads no weights."""

    @property
    def tag(self) -> str:
        """Short path-safe name, such as ``hubert_base_ls960_6``."""
        return self.tag_of(self.name, self.config()["conf"])

    @abstractmethod
    def _frames(self, wav: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
        """Compute frames of utterances that all have at least one.

        Args:
            wav: samples (B, N), zero beyond each length; N is the greatest length.
            lengths: in samples (B,).
            counts: in frames (B,).

        Returns:
            frames (B, T, D), anything beyond each count.
        """

    def frames(self, wav: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames of a batch.

        Gradients are not switched off here. Runs in full float32 whatever autocast or
        TF32 setting is on, since both let the batch change the frames.

        Args:
            wav: samples at ``sample_rate`` (B, N); what is beyond a length is ignored.
            lengths: in samples (B,).

        Returns:
            frames (B, T, D) in float32, zero beyond each count; counts (B,) in frames.

        Raises:
            DSUError: shapes or lengths that do not fit together.
        """
        _check_batch(wav, lengths)
        lengths = lengths.to(wav.device)
        counts = torch.tensor(
            [self.num_frames(n) for n in lengths.tolist()], device=wav.device
        ).long()
        out = wav.new_zeros(len(wav), int(counts.max()), self.dim, dtype=torch.float32)
        rows = counts.nonzero().squeeze(1)
        if len(rows) == 0:
            return out, counts
        lengths, some = lengths[rows], counts[rows]
        wav = zero_padding(wav[rows, : int(lengths.max())].float(), lengths)
        with _full_precision(wav.device):
            frames = self._frames(wav, lengths, some)
        frames = zero_padding(frames.transpose(1, 2), some).transpose(1, 2)
        return out.index_copy(0, rows, frames.float()), counts

    def train(self, mode: bool = True) -> Upstream:
        """Stay in eval mode: dropout must never touch a frame."""
        return super().train(False)


def zero_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Zero x, (B, N) or (B, C, T), beyond each length (B,) of its last axis."""
    padding = torch.arange(x.shape[-1], device=x.device) >= lengths.unsqueeze(-1)
    return x.masked_fill(padding if x.dim() == 2 else padding.unsqueeze(1), 0.0)


def resampled_length(num_samples: int, orig_fs: int, target_fs: int) -> int:
    """Return how many samples ``resample`` makes of ``num_samples``."""
    return -(-num_samples * target_fs // orig_fs)


def resample(wav: Tensor, orig_fs: int, target_fs: int) -> Tensor:
    """Resample (..., N) from one rate to another, both in Hz.

    Raises:
        DSUError: a rate that is not a positive whole number.
    """
    for fs in (orig_fs, target_fs):
        if fs != int(fs) or fs <= 0:
            raise DSUError(
                f"sample rate {fs!r}: expected a positive whole number of Hz"
            )
    if orig_fs == target_fs:
        return wav
    length = resampled_length(wav.shape[-1], orig_fs, target_fs)
    if length == 0:
        return wav
    from torchaudio.functional import resample as sinc_resample

    out = sinc_resample(wav, int(orig_fs), int(target_fs))
    # torchaudio rounds the length in float32, which is off beyond 2**24 samples.
    return nn.functional.pad(out, (0, length - out.shape[-1]))


def path_safe(text: str) -> str:
    """Return lower-case letters, digits and single underscores."""
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")


def check_layer(name: UpstreamName, num_layers: int) -> int:
    """Return the layer of a name if a model with so many layers has it.

    Raises:
        DSUError: it has not.
    """
    if name.layer is None or not 0 <= name.layer <= num_layers:
        raise DSUError(
            f"upstream '{name}': no layer {name.layer}; this model has layers 0 (input"
            f" of the first) to {num_layers}"
        )
    return name.layer


def _check_batch(wav: Tensor, lengths: Tensor) -> None:
    if wav.dim() != 2 or not wav.is_floating_point() or len(wav) == 0:
        raise DSUError(
            f"waveforms of shape {tuple(wav.shape)} and type {wav.dtype}: expected"
            " floating-point samples (B, N) with B > 0"
        )
    if lengths.shape != wav.shape[:1] or lengths.is_floating_point():
        raise DSUError(
            f"lengths of shape {tuple(lengths.shape)} and type {lengths.dtype}:"
            f" expected one whole number of samples for each of {len(wav)} utterances"
        )
    if int(lengths.min()) < 0 or int(lengths.max()) > wav.shape[1]:
        raise DSUError(
            f"lengths from {int(lengths.min())} to {int(lengths.max())}: expected 0 to"
            f" {wav.shape[1]}, the width of the batch"
        )


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    backends: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, value in zip(backends, before):
            backend.allow_tf32 = value
