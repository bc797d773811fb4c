"""Pitch inside the vocoder: log F0 relative to the utterance's median."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.models.vocoder.masking import is_real
from espnet_dsu.models.vocoder.variance import VariancePredictor

F0_KINDS = ("none", "continuous", "quantized")
# An octave up and down holds nearly all of what one speaker says.
_RANGE = 0.7


@dataclass(frozen=True)
class F0Track:
    """Pitch of a batch.

    Attributes:
        log_f0: (B, T) natural logarithm relative to the utterance's median over its
            voiced frames; 0 where unvoiced.
        voiced: (B, T) probability, 0 or 1 where it was measured.
    """

    log_f0: torch.Tensor
    voiced: torch.Tensor

    @classmethod
    def of_hz(cls, f0: torch.Tensor, lengths: torch.Tensor) -> F0Track:
        """Make it of F0 in Hz (B, T), 0 where unvoiced.

        The register is left out: it belongs to the speaker, so that the melody of one
        can be spoken by another.
        """
        voiced = (f0 > 0) & is_real(lengths, f0.shape[1])
        log_f0 = f0.float().clamp_min(1e-3).log()
        hidden = log_f0.masked_fill(~voiced, float("nan"))
        median = hidden.nanmedian(dim=1, keepdim=True).values
        relative = (log_f0 - median).masked_fill(~voiced, 0.0)
        return cls(relative, voiced.float())


class PitchEncoder(torch.nn.Module):
    """Embed pitch, and predict it where none is given.

    Args:
        dim: D of the embeddings.
        kind: ``continuous``, or ``quantized`` to ``num_bins`` as in Polyak et al.
            (2021), https://arxiv.org/abs/2104.00355, where a codebook is learned;
            here the bins are equal steps of two octaves.
        num_bins: of ``quantized``.
        predictor: options of :class:`VariancePredictor`.
    """

    def __init__(
        self, dim: int, kind: str, num_bins: int = 64, predictor: dict | None = None
    ) -> None:
        super().__init__()
        if kind not in F0_KINDS[1:]:
            raise DSUError(f"f0 is {kind!r}, expected one of {', '.join(F0_KINDS)}")
        self.kind, self.num_bins = kind, num_bins
        self.embedding: torch.nn.Module
        if kind == "quantized":
            self.embedding = torch.nn.Embedding(num_bins + 1, dim)
        else:
            self.embedding = torch.nn.Conv1d(2, dim, 5, padding=2)
        options = {
            "hidden": 256,
            "kernel_size": 5,
            "num_layers": 3,
            **(predictor or {}),
        }
        self.predictor = VariancePredictor(dim, 2, **options)

    def forward(self, track: F0Track) -> torch.Tensor:
        """Give embeddings (B, T, D)."""
        voiced = (track.voiced > 0.5).to(track.log_f0.dtype)
        if self.kind == "quantized":
            share = (track.log_f0.clamp(-_RANGE, _RANGE) + _RANGE) / (2 * _RANGE)
            bins = (share * (self.num_bins - 1)).round().long() + 1
            return self.embedding(bins * voiced.long())
        values = torch.stack([track.log_f0 * voiced, voiced], dim=1)
        return self.embedding(values).transpose(1, 2)

    def predict(self, embedded: torch.Tensor, lengths: torch.Tensor) -> F0Track:
        """Predict the pitch of unit embeddings (B, T, D); padding is unvoiced."""
        log_f0, logit = self.predictor(embedded, lengths).unbind(dim=-1)
        real = is_real(lengths, logit.shape[1])
        return F0Track(log_f0, logit.sigmoid() * real)

    def loss(
        self, embedded: torch.Tensor, lengths: torch.Tensor, target: F0Track
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compare the prediction with what was measured.

        Returns:
            mean squared error of log F0 over voiced frames, and the cross entropy of
            voicing.
        """
        log_f0, logit = self.predictor(embedded, lengths).float().unbind(dim=-1)
        real = is_real(lengths, logit.shape[1]).float()
        error = (log_f0 - target.log_f0).square() * target.voiced
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            logit, target.voiced, weight=real, reduction="sum"
        )
        return error.sum() / target.voiced.sum().clamp_min(1), entropy / real.sum()
