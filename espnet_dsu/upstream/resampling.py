"""Resampling of waveforms."""

from __future__ import annotations

import torch
from torch import Tensor

from espnet_dsu.errors import DSUError


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
    return torch.nn.functional.pad(out, (0, length - out.shape[-1]))
