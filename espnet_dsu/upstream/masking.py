"""Keeping padding out of convolutional speech encoders.

Convolutions over samples need no care: a frame within the count of an utterance sees
only its own samples. What mixes padding in is group norm over time (the *base* models)
and whatever makes zeroed padding non-zero again before a convolution over frames. Both
are mended here, in place, instead of bucketing utterances by length: batches stay full.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from espnet_dsu.upstream.base import zero_padding


class UtteranceGroupNorm(nn.GroupNorm):
    """Group norm whose statistics are those of each utterance's own frames.

    It calls the plain group norm once per utterance, so an utterance gets the same
    numbers in any batch as it gets alone.

    Attributes:
        lengths: valid frames of each utterance of the coming batch.
    """

    lengths: list[int]

    @classmethod
    def like(cls, norm: nn.GroupNorm) -> UtteranceGroupNorm:
        """Take over the parameters of a plain group norm."""
        new = cls(norm.num_groups, norm.num_channels, norm.eps, norm.affine)
        new.weight, new.bias = norm.weight, norm.bias
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, T); what lies beyond a length becomes zero."""
        utterances = [
            super(UtteranceGroupNorm, self)
            .forward(row[:, :n].unsqueeze(0))
            .squeeze(0)
            .T
            for row, n in zip(x, self.lengths)
        ]
        padded = nn.utils.rnn.pad_sequence(utterances, batch_first=True)
        return nn.functional.pad(
            padded.transpose(1, 2), (0, x.shape[-1] - padded.shape[1])
        )


class ConvFrontEnd:
    """The convolutions that turn samples into frames: their lengths and group norms.

    Args:
        conv_layers: modules with ``conv`` (unpadded Conv1d) and perhaps ``layer_norm``;
            a GroupNorm there is replaced by an UtteranceGroupNorm.
    """

    def __init__(self, conv_layers: Iterable[Any]):
        self.stages: list[tuple[int, int]] = []
        self.norms: list[tuple[int, UtteranceGroupNorm]] = []
        for layer in conv_layers:
            self.stages.append((layer.conv.kernel_size[0], layer.conv.stride[0]))
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                layer.layer_norm = UtteranceGroupNorm.like(norm)
                self.norms.append((len(self.stages), layer.layer_norm))

    @property
    def frame_shift(self) -> int:
        """Samples from one frame to the next."""
        shift = 1
        for _, stride in self.stages:
            shift *= stride
        return shift

    def num_frames(self, num_samples: int, depth: int | None = None) -> int:
        """Return the length after the first ``depth`` convolutions (all by default)."""
        length = num_samples
        for kernel, stride in self.stages[:depth]:
            length = 0 if length < kernel else (length - kernel) // stride + 1
        return length

    def set_lengths(self, lengths: Tensor) -> None:
        """Tell the group norms the lengths (B,), in samples, of the coming batch."""
        for depth, norm in self.norms:
            norm.lengths = [self.num_frames(n, depth) for n in lengths.tolist()]


class FrameMask:
    """Zeroes the padding in the outputs (B, C, T) of some modules.

    Attributes:
        counts: valid frames (B,) of the coming batch.
    """

    counts: Tensor

    def __init__(self, modules: Iterable[nn.Module]):
        for module in modules:
            module.register_forward_hook(self._zero_padding)

    def _zero_padding(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        return zero_padding(output, self.counts)


def normalize_waveforms(wav: Tensor, lengths: Tensor, eps: float) -> Tensor:
    """Give each utterance of (B, N) zero mean and unit variance; padding stays zero."""
    rows = [
        nn.functional.layer_norm(row[:n], (n,), eps=eps)
        for row, n in zip(wav, lengths.tolist())
    ]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)
