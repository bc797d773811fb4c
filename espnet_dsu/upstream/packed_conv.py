"""Convolutions over time as packed matrix products, for frozen weights on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from espnet_dsu.upstream.onednn import PackedWeight


class PackedConv:
    """An unpadded Conv1d, followed by GELU if wanted.

    Three taps at stride two, which most speech encoders have four times, take five
    products for a pair of outputs instead of six: both share the frame between them
    (Winograd's minimal filtering; Lavin and Gray, https://arxiv.org/abs/1509.09308).

    Args:
        conv: a Conv1d without padding, dilation or groups.
        gelu: apply exact GELU to the output.
    """

    def __init__(self, conv: Any, gelu: bool) -> None:
        self._kernel, self._stride = conv.kernel_size[0], conv.stride[0]
        self._activation = "gelu" if gelu else "none"
        taps = conv.weight.detach().unbind(dim=2)
        self._paired = (self._kernel, self._stride) == (3, 2)
        if self._paired:
            first, middle, last = taps
            self._shared = PackedWeight(first + last, conv.bias)
            self._first = PackedWeight(torch.cat([first, middle], dim=1), None)
            self._last = PackedWeight(torch.cat([last, middle], dim=1), None)
        else:
            self._whole = PackedWeight(torch.cat(taps, dim=1), conv.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (R, T, C) along T."""
        if self._paired:
            return self._pairs(x)
        # A view, or a copy where stretches overlap.
        stretches = x.unfold(1, self._kernel, self._stride).transpose(2, 3).flatten(2)
        return self._whole(stretches, self._activation)

    def _pairs(self, x: Tensor) -> Tensor:
        count = (x.shape[1] - 3) // 2 + 1
        pairs, size = (count + 1) // 2, x.shape[2]
        missing = 4 * pairs + 1 - x.shape[1]
        if missing > 0:
            x = nn.functional.pad(x, (0, 0, 0, missing))
        # A pair sees five frames, and begins four after the pair before it.
        one, two, shared, four, five = (x[:, k : k + 4 * pairs : 4] for k in range(5))
        both = self._shared(shared)
        out = x.new_empty(len(x), pairs, 2, both.shape[2])
        ends = x.new_empty(len(x), pairs, 2 * size)
        sides = (one, two, self._first), (five, four, self._last)
        for index, (outer, inner, product) in enumerate(sides):
            torch.sub(outer, shared, out=ends[..., :size])
            ends[..., size:] = inner
            torch.add(product(ends), both, out=out[:, :, index])
        out = out.flatten(1, 2)[:, :count]
        return nn.functional.gelu(out) if self._activation == "gelu" else out
