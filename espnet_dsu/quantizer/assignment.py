"""One look at the frames of all ranks: what each centroid would become."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from espnet_dsu.quantizer.fit_report import FitPass
from espnet_dsu.quantizer.frame_set import CHUNK_ROWS, FrameSet
from espnet_dsu.quantizer.nearest import Finder, chunk_rows, float32_products


@dataclass
class Pass:
    """The frames of each unit, added up.

    Attributes:
        distances: Squared distance of each frame of this rank to its centroid ``(n,)``.
        inertia: Sum of the distances of all ranks.
        sums: Float64 sum of the frames of each unit ``(K, D)``, over all ranks.
        counts: Frames of each unit ``(K,)`` float64, over all ranks.
    """

    distances: torch.Tensor
    inertia: float
    sums: torch.Tensor
    counts: torch.Tensor

    def summary(self, phase: str) -> FitPass:
        """Describe the pass in a few numbers."""
        return FitPass.of(phase, self.inertia, self.counts)


def look(
    frames: FrameSet, centroids: torch.Tensor, numbers: torch.Tensor | None = None
) -> Pass:
    """Assign all frames, or those of ``numbers``, to ``centroids (K, D)``."""
    rows = max(CHUNK_ROWS, chunk_rows(max(centroids.shape), centroids.device))
    sums = torch.zeros_like(centroids, dtype=torch.float64)
    counts = sums.new_zeros(len(centroids))
    distances, first = centroids.new_empty(frames.count(numbers)), 0
    with float32_products(centroids.device):
        find = Finder(centroids, rows)
        for chunk in frames.chunks(rows, numbers):
            units = find(chunk)
            counts += torch.bincount(units, minlength=len(centroids))
            sums.index_add_(0, units, chunk.double())
            # Direct differences: the expanded square loses digits for far-off frames.
            residual = chunk - centroids[units]
            distances[first : first + len(chunk)] = residual.square_().sum(dim=1)
            first += len(chunk)
    inertia = frames.ranks.add(distances.sum(dtype=torch.float64))
    frames.ranks.add(sums)
    frames.ranks.add(counts)
    return Pass(distances, float(inertia), sums, counts)


def means(
    sums: torch.Tensor, counts: torch.Tensor, centroids: torch.Tensor
) -> torch.Tensor:
    """Return the mean frame of each unit; an empty unit stays where it was."""
    found = (sums / counts.clamp(min=1e-9)[:, None]).float()
    return torch.where(counts[:, None] > 0, found, centroids)


def reseed_empty(
    found: Pass,
    frames: FrameSet,
    centroids: torch.Tensor,
    numbers: torch.Tensor | None = None,
) -> None:
    """Move the frames farthest from their centroid into empty units, in place."""
    empty = torch.nonzero(found.counts == 0).flatten()
    if len(empty) == 0:
        return
    # A frame on its centroid has nothing to give: there are few distinct frames.
    moved = frames.take(frames.farthest(found.distances, len(empty), numbers))
    empty = empty[: len(moved)]
    with float32_products(centroids.device):
        units = Finder(centroids, len(moved))(moved)
    exact = moved.double()
    found.sums.index_add_(0, units, -exact)
    found.counts.index_add_(0, units, -torch.ones_like(exact[:, 0]))
    found.sums[empty] = exact
    found.counts[empty] = 1
