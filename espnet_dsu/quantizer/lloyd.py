"""Lloyd's algorithm and its mini-batch form, on the frames of all ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from espnet_dsu.quantizer.assignment import Pass, look, means, reseed_empty
from espnet_dsu.quantizer.fit_report import FitPass
from espnet_dsu.quantizer.frame_set import FrameSet
from espnet_dsu.quantizer.progress import FitProgress

# Of mini-batches, in frames per unit: how many are drawn, how many a centroid
# remembers, how many make a point of the training curve.
_BATCH_FRAMES, _MEMORY, _PART_FRAMES = 768, 40, 64


@dataclass(frozen=True)
class Stop:
    """When Lloyd's iterations end.

    Attributes:
        max_iter: After so many updates.
        shift: When the centroids' squared shift is at most this.
        gain: When a pass lowers the inertia by less than this share.
    """

    max_iter: int
    shift: float
    gain: float

    def is_met(self, shift: float, passes: list[FitPass]) -> bool:
        """Look at the last shift and at the passes so far, one before each update."""
        if len(passes) > self.max_iter or shift <= self.shift:
            return True
        if self.gain == 0 or len(passes) < 2:
            return False
        return passes[-1].inertia > (1 - self.gain) * passes[-2].inertia


def lloyd(
    frames: FrameSet,
    centroids: torch.Tensor,
    stop: Stop,
    reseed: bool,
    phase: str,
    numbers: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Pass, list[FitPass]]:
    """Run Lloyd's iterations from ``centroids (K, D)``.

    On all frames, or on those of ``numbers`` alone (Lloyd, "Least squares quantization
    in PCM", 1982).

    Returns:
        Centroids ``(K, D)``, the pass that found them good enough, all passes in short.
    """
    shift, passes = math.inf, list[FitPass]()
    with FitProgress(phase, stop.max_iter, frames.ranks.rank) as progress:
        while True:
            found = look(frames, centroids, numbers)
            passes.append(found.summary(phase))
            progress.step(passes[-1])
            if stop.is_met(shift, passes):
                return centroids, found, passes
            if reseed:
                reseed_empty(found, frames, centroids, numbers)
            updated = means(found.sums, found.counts, centroids)
            shift = float((updated - centroids).square().sum())
            centroids = updated


def minibatch(
    frames: FrameSet,
    centroids: torch.Tensor,
    found: Pass,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, list[FitPass]]:
    """Move ``centroids (K, D)`` by random batches, beginning at ``found``.

    Each centroid is the running mean of the frames it was given (Sculley, "Web-scale
    k-means clustering", 2010). It forgets soon, which keeps it moving: so the centroids
    get out of poor local optima, much as in annealing, and Lloyd's iterations must
    follow to bring them to rest.

    Returns:
        Centroids ``(K, D)`` and the course, in passes of some tens of frames per unit.
    """
    sums, counts = found.sums.clone(), found.counts.clone()
    centroids, passes = means(sums, counts, centroids), list[FitPass]()
    parts = list(_parts(frames.total, len(centroids), generator))
    with FitProgress("mini-batch", len(parts), frames.ranks.rank) as progress:
        for part in parts:
            seen, inertia = torch.zeros_like(counts), 0.0
            for numbers in part.split(batch_size):
                batch = look(frames, centroids, numbers.sort().values)
                keep = math.exp(-len(numbers) / (_MEMORY * len(centroids)))
                sums.mul_(keep).add_(batch.sums)
                counts.mul_(keep).add_(batch.counts)
                centroids = means(sums, counts, centroids)
                seen += batch.counts
                inertia += batch.inertia
            passes.append(FitPass.of("mini-batch", inertia, seen))
            progress.step(passes[-1])
    return centroids, passes


def _parts(
    total: int, num_centroids: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Yield numbers of frames to draw, some tens per unit at a time."""
    left, size = _BATCH_FRAMES * num_centroids, _PART_FRAMES * num_centroids
    while left > 0:
        epoch = torch.randperm(total, generator=generator)[:left]
        left -= len(epoch)
        yield from epoch.split(size)
