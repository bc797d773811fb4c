"""The contract of an upstream, and resampling to its rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.masking import zero_padding
from espnet_dsu.upstream.precision import compute_in
from espnet_dsu.upstream.registry import UpstreamName

# Samples per block of a waveform whose statistics are gathered.
_BLOCK = 2**20


class Upstream(nn.Module, ABC):
    """Turns waveforms into frames; an utterance's frames depend on itself alone.

    An upstream is always in eval mode: ``train()`` changes nothing. Its weights are
    frozen until somebody lets them require gradients.

    Attributes:
        family: the part of the name before the colon.
        layered: whether the name carries a layer.
        conf_keys: the options that ``build`` takes.
        name: the name it was built from.
        sample_rate: of the waveforms it takes, in Hz.
        frame_shift: samples from one frame to the next.
        receptive_field: samples that one frame is computed from, before attention.
        dim: size D of a frame, in which several layers lie side by side.
        num_layers: layers of the model it was built from (0: a family without layers).
        layer: the highest in the frames (1-based; 0 = input of the first layer).
        dtype: of the computation; half precision runs under autocast.
    """

    family: ClassVar[str]
    layered: ClassVar[bool]
    conf_keys: ClassVar[tuple[str, ...]] = ()

    name: UpstreamName
    sample_rate: int
    frame_shift: int
    receptive_field: int
    dim: int
    num_layers: int = 0
    layer: int | None = None
    dtype: torch.dtype = torch.float32

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
    def layers(self) -> tuple[int, ...]:
        """The layers whose outputs the frames hold; none in a family without layers."""
        return self.name.layers

    @property
    def layer_dim(self) -> int:
        """Size of one layer's part of a frame."""
        return self.dim // max(1, len(self.layers))

    @property
    def tag(self) -> str:
        """Short path-safe name, such as ``hubert_base_ls960_6``."""
        return self.tag_of(self.name, self.config()["conf"])

    @abstractmethod
    def _frames(
        self,
        wav: Tensor,
        lengths: Tensor,
        counts: Tensor,
        statistics: Sequence[Any],
        layers: Sequence[int],
    ) -> list[Tensor]:
        """Compute frames of utterances that all have at least one.

        Args:
            wav: samples (B, N), zero beyond each length; N is the greatest length.
            lengths: in samples (B,).
            counts: in frames (B,).
            statistics: of each utterance, as :meth:`statistics` gives them.
            layers: wanted; empty for a family without layers.

        Returns:
            frames (B, T, ``layer_dim``) of each layer (one item for a family without
            layers), anything beyond each count.
        """

    def statistics(self, blocks: Iterable[Tensor]) -> Any:
        """Gather what frames depend on beyond their neighbourhood: normalisation.

        Args:
            blocks: the whole utterance, cut anyhow: samples (n,) in their order.

        Returns:
            what ``frames`` takes for a part of this utterance; None where frames
            depend on nothing of the kind.
        """
        return None

    def running_statistics(self, blocks: Iterable[Tensor]) -> Iterator[Any]:
        """Give, after each block, the :meth:`statistics` of all blocks so far.

        For audio that is still coming in; None before there is a frame.
        """
        return (None for _ in blocks)

    def frame_window(self, first: int, last: int) -> tuple[int, int]:
        """Return the samples [start, stop) that frames [first, last) are made from."""
        shift = self.frame_shift
        return first * shift, (last - 1) * shift + self.receptive_field

    def frames(
        self, wav: Tensor, lengths: Tensor, statistics: Sequence[Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the frames of a batch.

        Gradients are not switched off here. In float32, whatever autocast or TF32
        setting is on, since both let the batch change the frames; half precision must
        be asked for by the attribute ``dtype``.

        Args:
            wav: samples at ``sample_rate`` (B, N); what is beyond a length is ignored.
            lengths: in samples (B,).
            statistics: where the waveforms are parts of longer utterances, the
                statistics of the whole.

        Returns:
            frames (B, T, D) in float32, zero beyond each count; counts (B,) in frames.

        Raises:
            DSUError: shapes or lengths that do not fit together.
        """
        found, counts = self._compute(wav, lengths, statistics, self.layers)
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1), counts

    def layer_frames(
        self,
        wav: Tensor,
        lengths: Tensor,
        layers: Sequence[int],
        statistics: Sequence[Any] | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """Compute the frames of several layers, up to ``layer``, in one pass.

        Returns:
            for each layer what :meth:`frames` would give for it alone; counts (B,).

        Raises:
            DSUError: no layers, or one beyond ``layer``.
        """
        if self.layer is None:
            raise DSUError(f"upstream '{self.name}' has no layers to choose from")
        beyond = [layer for layer in layers if not 0 <= layer <= self.layer]
        if beyond or not layers:
            raise DSUError(
                f"upstream '{self.name}': layers {list(layers)} wanted, expected some "
                f"of 0 to {self.layer}; name the highest one after the '@'"
            )
        return self._compute(wav, lengths, statistics, layers)

    def _compute(
        self,
        wav: Tensor,
        lengths: Tensor,
        statistics: Sequence[Any] | None,
        layers: Sequence[int],
    ) -> tuple[list[Tensor], Tensor]:
        _check_batch(wav, lengths)
        lengths = lengths.to(wav.device)
        counts = torch.tensor(
            [self.num_frames(n) for n in lengths.tolist()], device=wav.device
        ).long()
        rows = counts.nonzero().squeeze(1)
        shape = len(wav), int(counts.max()), self.layer_dim
        out = wav.new_zeros(shape, dtype=torch.float32)
        if len(rows) == 0:
            return [out] * max(1, len(layers)), counts
        lengths, some = lengths[rows], counts[rows]
        wav = zero_padding(wav[rows, : int(lengths.max())].float(), lengths)
        if statistics is None:
            known = [
                self.statistics(x[:n].split(_BLOCK))
                for x, n in zip(wav.detach(), lengths.tolist())
            ]
        else:
            known = [statistics[row] for row in rows.tolist()]
        with compute_in(self.dtype, wav.device):
            found = self._frames(wav, lengths, some, known, layers)
        padded = (zero_padding(f.transpose(1, 2), some).transpose(1, 2) for f in found)
        return [out.index_copy(0, rows, f.float()) for f in padded], counts

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Let ``torch.compile`` work on the layers; a family without any refuses."""
        raise DSUError(f"upstream '{self.name}' has no layers to compile")

    def train(self, mode: bool = True) -> Upstream:
        """Stay in eval mode: dropout must never touch a frame."""
        return super().train(False)


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
