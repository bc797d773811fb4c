"""Random segments of utterances, in frames and in samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Segments:
    """Where the segments of a batch begin (B,), and how many frames they last."""

    starts: torch.Tensor
    frames: int

    def of_frames(self, values: torch.Tensor) -> torch.Tensor:
        """Cut (B, T, D) to (B, frames, D); what lies after the end is zero."""
        return self._cut(values, self.starts, self.frames)

    def of_samples(self, wav: torch.Tensor, upsample: int) -> torch.Tensor:
        """Cut waveforms (B, N) to (B, frames * upsample)."""
        starts, samples = self.starts * upsample, self.frames * upsample
        return self._cut(wav.unsqueeze(-1), starts, samples).squeeze(-1)

    @staticmethod
    def _cut(values: torch.Tensor, starts: torch.Tensor, size: int) -> torch.Tensor:
        index = starts.unsqueeze(1) + torch.arange(size, device=starts.device)
        short = int(size - values.shape[1])
        if short > 0 or bool((index[:, -1] >= values.shape[1]).any()):
            more = int(index[:, -1].max()) + 1 - values.shape[1]
            values = torch.nn.functional.pad(values, (0, 0, 0, more))
        index = index.unsqueeze(-1).expand(-1, -1, values.shape[2])
        return values.gather(1, index)


def draw_segments(lengths: torch.Tensor, frames: int, random: bool) -> Segments:
    """Draw a segment of each utterance; without chance, its middle.

    All last ``frames``, or as long as the longest utterance where that is less.
    """
    size = min(frames, int(lengths.max()))
    last = (lengths - size).clamp_min(0)
    share = torch.rand(len(lengths), device=lengths.device) if random else 0.5
    return Segments(((last + 1) * share).long().clamp_max(last), size)
