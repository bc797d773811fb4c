"""Where k-means begins: k-means++ or random frames."""

from __future__ import annotations

import math

import torch

from espnet_dsu.quantizer.frame_set import FrameSet
from espnet_dsu.quantizer.nearest import float32_products

# The start reads a random part of the frames: K times this many.
_FRAMES_PER_CENTROID = 16
# Distances are compared in this many dimensions: a random projection keeps them within
# some 12 % (Johnson and Lindenstrauss, 1984), and the start takes a sixth of the time.
_MAX_DIM = 128


def random_start(
    frames: FrameSet, num_centroids: int, mean: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return K different frames as ``(K, D)``."""
    return frames.take(frames.sample(num_centroids, generator))


def kmeans_plus_plus(
    frames: FrameSet, num_centroids: int, mean: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return a greedy k-means++ start ``(K, D)``; ``mean (D,)`` is that of the frames.

    Where there are more than 16 frames per centroid, a random part of that size is
    searched; distances in more than 128 dimensions are those of a random projection.
    """
    part = min(frames.total, num_centroids * _FRAMES_PER_CENTROID)
    numbers = frames.sample(part, generator)
    with float32_products(frames.device):
        data = _project(frames, numbers, mean, generator)
        picked = frames.ranks.share(_spread(data, num_centroids, generator))
    return frames.take(numbers[picked.cpu()])


def _project(
    frames: FrameSet,
    numbers: torch.Tensor,
    mean: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the frames of ``numbers``, centred, in few dimensions: ``(n, d)``."""
    # Centred, because rounding errors grow with the length of the vectors.
    dim = min(frames.dim, _MAX_DIM)
    matrix = torch.eye(frames.dim)
    if dim < frames.dim:
        matrix = torch.randn(frames.dim, dim, generator=generator) / dim**0.5
    matrix = matrix.to(frames.device)
    data = torch.zeros(len(numbers), dim, device=frames.device)
    mine = frames.holds(numbers).nonzero().flatten().to(frames.device)
    first = 0
    for chunk in frames.chunks(numbers=numbers):
        data[mine[first : first + len(chunk)]] = (chunk - mean) @ matrix
        first += len(chunk)
    return frames.ranks.add(data)


def _spread(
    data: torch.Tensor, num_centroids: int, generator: torch.Generator
) -> torch.Tensor:
    """Pick K rows of ``data (n, d)``, far from each other: ``(K,)``.

    Each step draws 2 + floor(ln K) candidates with probability proportional to their
    squared distance from the rows so far and keeps the one that lowers the inertia
    most (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding",
    2007, section 5).
    """
    columns = data.t().contiguous()
    norms = columns.square().sum(dim=0)
    trials = 2 + int(math.log(num_centroids))
    # The first draw is uniform. Memory is reused: thousands of steps would break up
    # the heap.
    closest = torch.full_like(norms, torch.finfo(norms.dtype).max)
    mass = torch.empty_like(closest, dtype=torch.float64)
    distances = data.new_empty(trials, len(data))
    picked = torch.empty(num_centroids, dtype=torch.long, device=data.device)
    for index in range(num_centroids):
        torch.cumsum(closest, dim=0, dtype=torch.float64, out=mass)
        draw = torch.rand(trials, generator=generator, dtype=torch.float64)
        rows = torch.searchsorted(mass, draw.to(data.device) * mass[-1])
        # Rounding may point past the end; with no distance left any frame will do.
        rows = rows.clamp_(max=len(data) - 1)
        torch.addmm(norms, data[rows], columns, alpha=-2, out=distances)
        distances.add_(norms[rows, None]).clamp_(min=0)
        torch.minimum(distances, closest, out=distances)
        best = distances.sum(dim=1).argmin()
        closest.copy_(distances[best])
        picked[index] = rows[best]
    return picked
