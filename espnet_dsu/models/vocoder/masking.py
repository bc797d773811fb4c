"""What of a padded batch is real."""

from __future__ import annotations

import torch


def is_real(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Say which of ``size`` positions of each row are before its end: (B, size)."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)


def masked(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Set what follows the end of each row of (B, L, D) to zero."""
    return values * is_real(lengths, values.shape[1]).unsqueeze(-1)


def repeat_last(values: torch.Tensor, lengths: torch.Tensor, more: int) -> torch.Tensor:
    """Let the last real row of each sequence (B, L, D) go on to L + more."""
    positions = torch.arange(values.shape[1] + more, device=values.device)
    index = torch.minimum(positions, lengths.unsqueeze(1) - 1).clamp_min(0)
    return values.gather(1, index.unsqueeze(-1).expand(-1, -1, values.shape[2]))
