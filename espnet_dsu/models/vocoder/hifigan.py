"""Unit HiFi-GAN: ESPnet's generator on embeddings of units."""

from __future__ import annotations

import math
from typing import Any

from espnet2.gan_tts.hifigan import HiFiGANGenerator

from espnet_dsu.errors import DSUError

# A transposed convolution of a greater scale leaves audible seams.
_LARGEST_SCALE = 8


class UnitHiFiGAN(HiFiGANGenerator):
    """Embeddings of frames (B, D, T) to a waveform (B, 1, T * upsample).

    Kong et al. (2020), https://arxiv.org/abs/2010.05646; for units, Polyak et al.
    (2021), https://arxiv.org/abs/2104.00355.

    Args:
        in_channels: D.
        upsample: samples of a frame.
        upsample_scales: factors of ``upsample``; None finds them.
        upsample_kernel_sizes: twice the scales, which ESPnet's generator asks for.
        options: of ESPnet's ``HiFiGANGenerator``.
    """

    def __init__(
        self,
        in_channels: int,
        upsample: int,
        upsample_scales: list[int] | None = None,
        upsample_kernel_sizes: list[int] | None = None,
        **options: Any,
    ) -> None:
        scales = upsample_scales or factorize(upsample)
        if math.prod(scales) != upsample:
            raise DSUError(
                f"upsample_scales {scales} give {math.prod(scales)} samples a frame, "
                f"expected {upsample}; leave them out, or give factors of {upsample}"
            )
        kernels = upsample_kernel_sizes or [2 * scale for scale in scales]
        if kernels != [2 * scale for scale in scales]:
            raise DSUError(
                f"upsample_kernel_sizes are {kernels}, expected twice the scales "
                f"{scales}"
            )
        channels = options.get("channels", 512)
        if channels % 2 ** len(scales):
            raise DSUError(
                f"channels is {channels}, expected a multiple of {2 ** len(scales)}: "
                f"each of the scales {scales} halves it"
            )
        super().__init__(
            in_channels=in_channels,
            upsample_scales=scales,
            upsample_kernel_sizes=kernels,
            **options,
        )
        self.context = self._context(scales)

    def _context(self, scales: list[int]) -> int:
        """Count how many frames to the right decide a sample."""
        reach, rate = float(self.input_conv.kernel_size[0] // 2), 1
        for number, scale in enumerate(scales):
            reach += 1.0 / rate  # a transposed convolution reads two neighbours
            rate *= scale
            first = number * self.num_blocks
            reach += (
                max(
                    sum(
                        conv[-1].dilation[0] * (conv[-1].kernel_size[0] // 2)
                        for convs in (block.convs1, getattr(block, "convs2", []))
                        for conv in convs
                    )
                    for block in self.blocks[first : first + self.num_blocks]
                )
                / rate
            )
        reach += self.output_conv[1].kernel_size[0] // 2 / rate
        return math.ceil(reach) + 1


def factorize(upsample: int) -> list[int]:
    """Split into factors of at most eight where its primes allow, greatest first.

    >>> factorize(320)
    [8, 8, 5]
    >>> factorize(441)
    [7, 7, 3, 3]
    """
    primes, rest, divisor = [], upsample, 2
    while rest > 1:
        while rest % divisor == 0:
            primes.append(divisor)
            rest //= divisor
        divisor += 1
    scales: list[int] = []
    for prime in reversed(primes):
        fitting = [i for i, s in enumerate(scales) if s * prime <= _LARGEST_SCALE]
        if fitting:
            scales[fitting[0]] *= prime
        else:
            scales.append(prime)
    return sorted(scales, reverse=True) or [1]
