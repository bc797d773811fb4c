"""Moments of a waveform: all that normalisation needs to know of an utterance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from espnet_dsu.errors import DSUError


@dataclass(frozen=True)
class WaveStatistics:
    """Moments of an utterance's samples, float64.

    Attributes:
        mean: of the samples.
        variance: of the samples.
        patch_mean: (k,) of the stretches of k samples that the first convolution sees.
        patch_covariance: (k, k) of those stretches.
    """

    mean: Tensor
    variance: Tensor
    patch_mean: Tensor
    patch_covariance: Tensor

    @classmethod
    def gather(
        cls, blocks: Iterable[Tensor], kernel: int, stride: int
    ) -> WaveStatistics:
        """Read a whole utterance in consecutive blocks (n,)."""
        last = None
        for last in cls.running(blocks, kernel, stride):
            pass
        if last is None:
            raise DSUError(f"too few samples for a frame, which takes {kernel} or more")
        return last

    @classmethod
    def running(
        cls, blocks: Iterable[Tensor], kernel: int, stride: int
    ) -> Iterator[WaveStatistics | None]:
        """Give, after each block, the moments so far; None before the first frame."""
        total = squares = sums = products = torch.zeros(())
        num_samples = num_patches = 0
        tail: Tensor | None = None
        for block in blocks:
            block = block.double()
            num_samples += len(block)
            total = total.to(block) + block.sum()
            squares = squares.to(block) + block.square().sum()
            tail = block if tail is None else torch.cat([tail, block])
            if len(tail) >= kernel:
                patches = tail.unfold(0, kernel, stride)
                num_patches += len(patches)
                sums = sums.to(block) + patches.sum(dim=0)
                products = products.to(block) + patches.t() @ patches
                tail = tail[len(patches) * stride :]
            if not num_patches:
                yield None
                continue
            mean, patch_mean = total / num_samples, sums / num_patches
            yield cls(
                mean,
                (squares / num_samples - mean.square()).clamp_min(0),
                patch_mean,
                products / num_patches - patch_mean.outer(patch_mean),
            )

    def normalized(self, eps: float) -> tuple[Tensor, WaveStatistics]:
        """Return the factor to unit variance, and the moments after it."""
        factor = (self.variance + eps).rsqrt()
        moments = WaveStatistics(
            torch.zeros_like(self.mean),
            self.variance * factor.square(),
            (self.patch_mean - self.mean) * factor,
            self.patch_covariance * factor.square(),
        )
        return factor, moments
