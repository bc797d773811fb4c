"""What the generator learns from: spectra at several resolutions, and judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
    MelSpectrogramLoss,
)

from espnet_dsu.models.vocoder.masking import is_real

__all__ = [
    "DiscriminatorAdversarialLoss",
    "FeatureMatchLoss",
    "GeneratorAdversarialLoss",
    "MelLoss",
    "duration_loss",
]


class MelLoss(torch.nn.Module):
    """Mean of ESPnet's mel spectrogram loss over several resolutions.

    Args:
        fs: sampling rate in Hz.
        resolutions: options of ESPnet's ``MelSpectrogramLoss`` for each, such as
            ``n_fft`` and ``n_mels``; a hop is a quarter of ``n_fft`` unless given.
    """

    def __init__(self, fs: int, resolutions: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        confs = [{"hop_length": r["n_fft"] // 4, **r} for r in resolutions]
        self.losses = torch.nn.ModuleList(
            MelSpectrogramLoss(fs=fs, **conf) for conf in confs
        )

    def forward(self, generated: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Compare waveforms (B, 1, N)."""
        return torch.stack([loss(generated, real) for loss in self.losses]).mean()


def duration_loss(
    predicted: torch.Tensor, durations: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of log durations, log(1 + d), over the real runs (B, R)."""
    real = is_real(lengths, durations.shape[1])
    error = (predicted.float() - durations.float().log1p()).square()
    return (error * real).sum() / real.sum()
