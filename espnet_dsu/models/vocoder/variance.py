"""Predictors over a sequence of units: durations and pitch."""

from __future__ import annotations

import torch

from espnet_dsu.models.vocoder.masking import masked


class VariancePredictor(torch.nn.Module):
    """Two convolutions and a linear layer, as in FastSpeech 2.

    Ren et al. (2021), https://arxiv.org/abs/2006.04558. Padding does not reach the
    values of other positions.

    Args:
        dim: D, size of the embeddings that it reads.
        out_dim: how many values each position gets.
        hidden: channels of the convolutions.
        kernel_size: of the convolutions, odd.
        dropout_rate: after each of them.
        num_layers: number of them.
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        hidden: int = 128,
        kernel_size: int = 3,
        dropout_rate: float = 0.5,
        num_layers: int = 2,
    ) -> None:
        super().__init__()
        sizes = [dim, *[hidden] * num_layers]
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv1d(a, b, kernel_size, padding=kernel_size // 2)
            for a, b in zip(sizes, sizes[1:])
        )
        self.norms = torch.nn.ModuleList(
            torch.nn.LayerNorm(hidden) for _ in range(num_layers)
        )
        self.dropout = torch.nn.Dropout(dropout_rate)
        self.output = torch.nn.Linear(hidden, out_dim)

    def forward(self, embedded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Give (B, L, out_dim) of embeddings (B, L, D)."""
        hidden = embedded
        for conv, norm in zip(self.convs, self.norms):
            hidden = conv(masked(hidden, lengths).transpose(1, 2)).transpose(1, 2)
            hidden = self.dropout(norm(hidden.relu()))
        return self.output(hidden)
