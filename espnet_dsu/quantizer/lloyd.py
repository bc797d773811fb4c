"""Lloyd's algorithm and its mini-batch form, on frames that fit in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from espnet_dsu.quantizer.nearest import nearest
from espnet_dsu.quantizer.progress import FitProgress

# Float64 working memory of one pass.
_PASS_BYTES = 2**26
# An epoch of mini-batches that lowers the inertia by less than this ends them.
_EPOCH_GAIN = 1e-3


@dataclass
class Assignment:
    """One look at all frames: what each centroid would become.

    Attributes:
        units: Nearest centroid of each frame, ``(N,)``.
        distances: Squared distance to it, ``(N,)``.
        sums: Float64 sum of the frames of each unit, ``(K, D)``.
        counts: Frames of each unit, ``(K,)`` float64.
    """

    units: torch.Tensor
    distances: torch.Tensor
    sums: torch.Tensor
    counts: torch.Tensor

    @property
    def inertia(self) -> float:
        return float(self.distances.sum(dtype=torch.float64))

    def means(self, centroids: torch.Tensor) -> torch.Tensor:
        """Return the mean frame of each unit; an empty unit stays where it was."""
        means = (self.sums / self.counts.clamp(min=1)[:, None]).float()
        return torch.where(self.counts[:, None] > 0, means, centroids)


def assign_all(frames: torch.Tensor, centroids: torch.Tensor) -> Assignment:
    """Assign ``frames (N, D)`` to ``centroids (K, D)`` and add them up."""
    units = nearest(frames, centroids)
    distances = torch.empty(len(frames), device=frames.device)
    sums = torch.zeros_like(centroids, dtype=torch.float64)
    rows = max(1, _PASS_BYTES // (8 * frames.shape[1]))
    for first in range(0, len(frames), rows):
        part = slice(first, first + rows)
        # Direct differences: the expanded square loses digits for far-off frames.
        residual = frames[part] - centroids[units[part]]
        distances[part] = residual.square_().sum(dim=1)
        sums.index_add_(0, units[part], frames[part].double())
    counts = torch.bincount(units, minlength=len(centroids)).double()
    return Assignment(units, distances, sums, counts)


def reseed_empty(found: Assignment, frames: torch.Tensor) -> None:
    """Move the frames farthest from their centroid into empty units, in place."""
    empty = torch.nonzero(found.counts == 0).flatten()
    far = found.distances.topk(min(len(empty), len(frames))).indices
    # A frame on its centroid has nothing to give: there are few distinct frames.
    far = far[found.distances[far] > 0]
    empty = empty[: len(far)]
    moved = frames[far].double()
    found.sums.index_add_(0, found.units[far], -moved)
    found.counts.index_add_(0, found.units[far], -torch.ones_like(moved[:, 0]))
    found.sums[empty] = moved
    found.counts[empty] = 1


def lloyd(
    frames: torch.Tensor,
    centroids: torch.Tensor,
    max_iter: int,
    tol: float,
    reseed: bool,
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Run Lloyd's iterations on ``frames (N, D)`` from ``centroids (K, D)``.

    Ends after ``max_iter`` updates, when no unit changes, or when the squared shift of
    all centroids is at most ``tol`` times the mean variance of the frames' dimensions
    (Lloyd, "Least squares quantization in PCM", 1982).

    Returns:
        Centroids ``(K, D)``, the units ``(N,)`` they give, the inertia before each
        update and at the end.
    """
    enough = tol * float(frames.var(dim=0, correction=0).mean())
    shift, previous, curve = float("inf"), None, list[float]()
    with FitProgress(max_iter, len(frames), "k-means") as progress:
        while True:
            found = assign_all(frames, centroids)
            curve.append(found.inertia)
            settled = previous is not None and torch.equal(found.units, previous)
            if settled or shift <= enough or len(curve) > max_iter:
                return centroids, found.units, curve
            if reseed:
                reseed_empty(found, frames)
            updated = found.means(centroids)
            shift = float((updated - centroids).square().sum())
            centroids, previous = updated, found.units
            progress.step(curve[-1])


def minibatch(
    frames: torch.Tensor,
    centroids: torch.Tensor,
    batch_size: int,
    max_epochs: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, list[float]]:
    """Move ``centroids (K, D)`` by random batches of ``frames (N, D)``.

    Each centroid is the running mean of all frames it was ever given (Sculley,
    "Web-scale k-means clustering", 2010). Ends after ``max_epochs`` passes, or when one
    lowers the inertia by less than 0.1 %.

    Returns:
        Centroids ``(K, D)`` and the inertia of each epoch, summed over its batches.
    """
    counts = torch.zeros(len(centroids), dtype=torch.float64, device=frames.device)
    curve = list[float]()
    with FitProgress(max_epochs, len(frames), "mini-batch k-means") as progress:
        for _ in range(max_epochs):
            inertia = 0.0
            for rows in torch.randperm(len(frames), generator=generator).split(
                batch_size
            ):
                found = assign_all(frames[rows], centroids)
                inertia += found.inertia
                counts += found.counts
                pull = found.sums - found.counts[:, None] * centroids
                step = pull / counts.clamp(min=1)[:, None]
                centroids = (centroids + step).float()
            curve.append(inertia)
            progress.step(inertia)
            if len(curve) > 1 and curve[-1] > (1 - _EPOCH_GAIN) * curve[-2]:
                break
    return centroids, curve
