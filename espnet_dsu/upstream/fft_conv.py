"""Long grouped convolutions by FFT: the positional convolutions of speech encoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from espnet_dsu.upstream.onednn import is_frozen

# A shorter kernel is quicker without; measured for 128 taps, 48 channels in a group.
_MIN_KERNEL = 64


class FFTConv:
    """Overlap-save form of a Conv1d with a long kernel; for frozen weights on a CPU.

    HuBERT's positional convolution (128 taps, 16 groups) takes an eighth of the time,
    and the result differs by rounding (4e-7 of its range). Elsewhere, while gradients
    are recorded, and for weights that training may change, the convolution itself runs.

    Args:
        conv: whose forward is replaced; its parameters keep their names.
    """

    def __init__(self, conv: Any) -> None:
        self.conv, self.direct = conv, conv.forward
        self.kernel: int = conv.kernel_size[0]
        self.size = 2 * self.kernel
        self.spectrum: Tensor | None = None
        conv.forward = self

    @classmethod
    def replace_in(cls, module: nn.Module) -> None:
        """Take over every long, dense, unstrided Conv1d of ``module``."""
        for conv in module.modules():
            if (
                isinstance(conv, nn.Conv1d)
                and conv.kernel_size[0] >= _MIN_KERNEL
                and (conv.stride[0], conv.dilation[0]) == (1, 1)
                and conv.padding_mode == "zeros"
            ):
                cls(conv)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (B, C, T)."""
        if not is_frozen(self.conv):
            self.spectrum = None
            return self.direct(x)
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return self.direct(x)
        rows = [self._row(row) for row in x.float()]
        return torch.stack(rows)

    def _row(self, x: Tensor) -> Tensor:
        """Convolve (C, T) block by block: each FFT gives size - kernel + 1 frames."""
        groups, padding = self.conv.groups, self.conv.padding[0]
        hop = self.size - self.kernel + 1
        length = x.shape[1] + 2 * padding - self.kernel + 1
        blocks = -(-length // hop)
        right = blocks * hop + self.kernel - 1 - padding - x.shape[1]
        x = nn.functional.pad(x, (padding, right)).unfold(1, self.size, hop)
        spectra = torch.fft.rfft(x).view(groups, -1, blocks, self.size // 2 + 1)
        per_bin = spectra.permute(3, 0, 2, 1).flatten(0, 1)
        out = torch.bmm(per_bin, self._weights())
        out = out.view(self.size // 2 + 1, groups, blocks, -1).permute(1, 3, 2, 0)
        frames = torch.fft.irfft(out.flatten(0, 1), n=self.size)[..., :hop]
        result = frames.flatten(1)[:, :length]
        return result if self.conv.bias is None else result + self.conv.bias[:, None]

    def _weights(self) -> Tensor:
        """Return the kernels' spectra, (bins * groups, in, out) of a group each."""
        if self.spectrum is None:
            weight = self.conv.weight.detach().float()
            spectrum = torch.fft.rfft(weight, n=self.size).conj()
            shape = self.conv.groups, -1, weight.shape[1], spectrum.shape[-1]
            self.spectrum = (
                spectrum.view(shape).permute(3, 0, 2, 1).flatten(0, 1).contiguous()
            )
        return self.spectrum
