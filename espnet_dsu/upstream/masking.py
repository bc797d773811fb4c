"""Keeping padding out of what a model computes from frames.

What lets padding in is whatever makes zeroed padding non-zero again before a
convolution over frames. It is mended in place, instead of bucketing utterances by
length: batches stay full.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def zero_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Zero x, (B, N) or (B, C, T), beyond each length (B,) of its last axis."""
    padding = beyond(x.shape[-1], lengths)
    return x.masked_fill(padding if x.dim() == 2 else padding.unsqueeze(1), 0.0)


def beyond(width: int, lengths: Tensor) -> Tensor:
    """Return True for padding: (B, width) for lengths (B,)."""
    return torch.arange(width, device=lengths.device) >= lengths.unsqueeze(1)


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
