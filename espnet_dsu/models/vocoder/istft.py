"""A light generator: ConvNeXt blocks and an inverse Fourier transform."""

from __future__ import annotations

import math

import torch

from espnet_dsu.errors import DSUError


class ConvNeXtBlock(torch.nn.Module):
    """A ConvNeXt block over time; Liu et al. (2022), https://arxiv.org/abs/2201.03545.

    Args:
        dim: channels.
        hidden: channels between its two linear layers.
        kernel_size: of the convolution in each channel, odd.
        scale: what its branch begins with.
    """

    def __init__(self, dim: int, hidden: int, kernel_size: int, scale: float) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(
            dim, dim, kernel_size, padding=kernel_size // 2, groups=dim
        )
        self.norm = torch.nn.LayerNorm(dim, eps=1e-6)
        self.expand = torch.nn.Linear(dim, hidden)
        self.shrink = torch.nn.Linear(hidden, dim)
        self.scale = torch.nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, T, D) to the same shape."""
        hidden = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        hidden = torch.nn.functional.gelu(self.expand(hidden))
        return x + self.scale * self.shrink(hidden)


class ISTFTGenerator(torch.nn.Module):
    """Embeddings of frames (B, D, T) to a waveform (B, 1, T * upsample).

    Vocos (Siuzdak, 2023, https://arxiv.org/abs/2306.00814) with blocks at two rates:
    that of the frames, and that of the transform, which a linear layer leads over to.

    Args:
        in_channels: D.
        upsample: samples of a frame.
        channels: of the blocks.
        hidden_channels: inside a block.
        num_frame_blocks: blocks at the rate of the frames.
        num_blocks: blocks at the rate of the transform.
        kernel_size: of the convolutions, odd.
        hop_length: of the transform in samples, a divisor of ``upsample``; None is the
            greatest below it that is no more than 200.
        n_fft: size of the transform; None is four hops.
    """

    def __init__(
        self,
        in_channels: int,
        upsample: int,
        channels: int = 384,
        hidden_channels: int = 1152,
        num_frame_blocks: int = 4,
        num_blocks: int = 4,
        kernel_size: int = 7,
        hop_length: int | None = None,
        n_fft: int | None = None,
    ) -> None:
        super().__init__()
        hop = hop_length or _default_hop(upsample)
        if upsample % hop:
            raise DSUError(
                f"hop_length {hop} does not divide the {upsample} samples of a frame; "
                f"give one of {[h for h in range(1, upsample + 1) if not upsample % h]}"
            )
        size = n_fft or 4 * hop
        if size < 2 * hop:
            raise DSUError(f"n_fft {size} is below two hops of {hop}; give {4 * hop}")
        self.hop, self.n_fft, self.steps = hop, size, upsample // hop

        def block() -> ConvNeXtBlock:
            depth = num_frame_blocks + num_blocks
            return ConvNeXtBlock(channels, hidden_channels, kernel_size, 1 / depth)

        conv = torch.nn.Conv1d(
            in_channels, channels, kernel_size, padding=kernel_size // 2
        )
        self.input_conv = conv
        self.input_norm = torch.nn.LayerNorm(channels, eps=1e-6)
        self.frame_blocks = torch.nn.ModuleList(
            block() for _ in range(num_frame_blocks)
        )
        self.rise = torch.nn.Linear(channels, self.steps * channels)
        self.blocks = torch.nn.ModuleList(block() for _ in range(num_blocks))
        self.norm = torch.nn.LayerNorm(channels, eps=1e-6)
        self.head = torch.nn.Linear(channels, size + 2)
        self.apply(_initialize)
        reach = (kernel_size // 2) * (1 + num_frame_blocks + num_blocks / self.steps)
        self.context = math.ceil(reach + size / 2 / upsample) + 1

    def forward(self, c: torch.Tensor) -> torch.Tensor:
        """Generate waveforms."""
        x = self.input_norm(self.input_conv(c).transpose(1, 2))
        for block in self.frame_blocks:
            x = block(x)
        batch, frames, channels = x.shape
        x = self.rise(x).reshape(batch, frames * self.steps, channels)
        for block in self.blocks:
            x = block(x)
        # Frame k of the transform is centred at sample k * hop; the last sample needs
        # one more of them.
        x = torch.cat([x, x[:, -1:]], dim=1)
        return self._invert(self.head(self.norm(x)).float())

    def _invert(self, x: torch.Tensor) -> torch.Tensor:
        """Give waveforms (B, 1, N) of log magnitudes and phases (B, F, n_fft + 2)."""
        log_magnitude, phase = x.transpose(1, 2).chunk(2, dim=1)
        # A spectrum of full scale is n_fft / 4; louder is noise of a young model.
        magnitude = log_magnitude.exp().clamp_max(self.n_fft)
        spectrum = torch.polar(magnitude, phase)
        # No buffer: distributed training writes to those between a forward pass and
        # the backward pass that would need it.
        window = torch.hann_window(self.n_fft, device=x.device)
        wav = torch.istft(
            spectrum,
            self.n_fft,
            self.hop,
            window=window,
            center=True,
            length=(x.shape[1] - 1) * self.hop,
        )
        return wav.unsqueeze(1)


def _default_hop(upsample: int) -> int:
    return max(h for h in range(1, 201) if upsample % h == 0 and h < max(upsample, 2))


def _initialize(module: torch.nn.Module) -> None:
    if isinstance(module, (torch.nn.Conv1d, torch.nn.Linear)):
        torch.nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)
