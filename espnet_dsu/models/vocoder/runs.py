"""Unit runs of a batch, for the predictor of durations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu.models.vocoder.masking import is_real


def collapse_batch(
    units: torch.Tensor, lengths: torch.Tensor, streams: Sequence[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Collapse repeats of frame units (B, T) or (B, T, S).

    With several streams a run ends where any of ``streams`` changes.

    Returns:
        runs (B, R) or (B, R, S), durations (B, R), 0 in the padding, and the numbers of
        runs (B,).
    """
    grid = units.reshape(*units.shape[:2], -1)
    heard = grid if streams is None else grid[:, :, list(streams)]
    real = is_real(lengths, units.shape[1])
    starts = real.clone()
    starts[:, 1:] &= (heard[:, 1:] != heard[:, :-1]).any(dim=2)
    counts = starts.sum(dim=1)
    runs = pad_sequence(list(units[starts].split(counts.tolist())), batch_first=True)
    number = starts.cumsum(dim=1) - 1
    durations = counts.new_zeros(len(units), int(counts.max()))
    durations.scatter_add_(1, number.clamp_min(0), real.to(durations.dtype))
    return runs, durations, counts
