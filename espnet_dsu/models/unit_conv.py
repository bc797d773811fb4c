"""A convolution front for encoders that have none over sequences of embeddings."""

from __future__ import annotations

import torch
from espnet2.asr.preencoder.abs_preencoder import AbsPreEncoder

from espnet_dsu.errors import DSUError

FACTORS = (1, 2, 3)


class UnitConv1d(AbsPreEncoder):
    """Two convolutions over time, the second of which shortens the sequence.

    What ``input_layer: conv1d2`` and the like are to ESPnet's E-Branchformer, for any
    encoder: put it before an encoder with ``input_layer: linear``. Utterances of any
    length pass, and what follows an utterance in a batch does not change its output.
    """

    def __init__(
        self, input_size: int, output_size: int = 256, subsampling_factor: int = 2
    ) -> None:
        """Make the layers.

        Args:
            input_size: size of the frontend's embeddings.
            output_size: size of the vectors for the encoder.
            subsampling_factor: 1, 2 or 3 embeddings to a vector.

        Raises:
            DSUError: for another factor.
        """
        super().__init__()
        if subsampling_factor not in FACTORS:
            raise DSUError(
                f"subsampling_factor is {subsampling_factor}, expected one of {FACTORS}"
            )
        self.input_size, self.factor = input_size, subsampling_factor
        kernel = max(3, 2 * subsampling_factor - 1)
        self.first = torch.nn.Conv1d(input_size, output_size, 3, padding=1)
        self.second = torch.nn.Conv1d(
            output_size,
            output_size,
            kernel,
            stride=subsampling_factor,
            padding=kernel // 2,
        )

    def output_size(self) -> int:
        """Size of the vectors."""
        return self.second.out_channels

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Convolve a batch.

        Args:
            input: embeddings (B, L, D).
            input_lengths: (B,).

        Returns:
            vectors (B, ceil(L / factor), output_size), zero after each length, and
            lengths (B,).
        """
        if input.size(-1) != self.input_size:
            raise DSUError(
                f"the frontend gives embeddings of {input.size(-1)}, but "
                f"preencoder_conf has input_size {self.input_size}; set it to "
                f"{input.size(-1)}"
            )
        hidden = _zero_after(input.transpose(1, 2), input_lengths)
        hidden = _zero_after(self.first(hidden).relu(), input_lengths)
        lengths = (input_lengths - 1) // self.factor + 1
        hidden = _zero_after(self.second(hidden).relu(), lengths)
        return hidden.transpose(1, 2), lengths


def _zero_after(hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zero (B, D, L) after each length, as the ends of an utterance alone are."""
    times = torch.arange(hidden.size(-1), device=hidden.device)
    return hidden * (times < lengths.to(hidden.device)[:, None])[:, None]
