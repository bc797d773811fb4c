"""Where k-means begins: k-means++ or random frames."""

from __future__ import annotations

import math

import torch

# The start reads a random part of the frames: K times this many. K = 2000 then looks at
# 128,000 frames; more frames cost time in proportion and change the inertia after
# Lloyd's iterations by less than another seed does.
_FRAMES_PER_CENTROID = 64


def random_start(
    frames: torch.Tensor, num_centroids: int, generator: torch.Generator
) -> torch.Tensor:
    """Return K different rows of ``frames (N, D)`` as ``(K, D)``."""
    return frames[_draw_rows(len(frames), num_centroids, generator)].clone()


def kmeans_plus_plus(
    frames: torch.Tensor, num_centroids: int, generator: torch.Generator
) -> torch.Tensor:
    """Return a greedy k-means++ start ``(K, D)`` from ``frames (N, D)``.

    Each step draws 2 + floor(ln K) candidates with probability proportional to their
    squared distance from the centroids so far and keeps the one that lowers the inertia
    most (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding",
    2007, section 5). Where there are more than 64 frames per centroid, a random part of
    that size is searched.
    """
    part = min(len(frames), num_centroids * _FRAMES_PER_CENTROID)
    data = frames[_draw_rows(len(frames), part, generator)]
    # Centred, because rounding errors grow with the length of the vectors.
    columns = (data - data.mean(dim=0)).t().contiguous()
    norms = columns.square().sum(dim=0)
    trials = 2 + int(math.log(num_centroids))

    def squared_distances(rows: torch.Tensor) -> torch.Tensor:
        products = torch.addmm(norms, columns[:, rows].t(), columns, alpha=-2)
        return products.add_(norms[rows, None])

    chosen = torch.randint(part, (1,), generator=generator).to(data.device)
    closest = squared_distances(chosen)[0].clamp_(min=0)
    picked = [chosen]
    for _ in range(num_centroids - 1):
        mass = closest.double().cumsum(dim=0)
        draw = torch.rand(trials, generator=generator, dtype=torch.float64)
        rows = torch.searchsorted(mass, draw.to(data.device) * mass[-1])
        # Rounding may point past the end; with no distance left any frame will do.
        rows = rows.clamp_(max=part - 1)
        candidates = squared_distances(rows)
        torch.minimum(candidates, closest, out=candidates)
        best = candidates.sum(dim=1).argmin()
        closest = candidates[best].clamp_(min=0)
        picked.append(rows[best, None])
    return data[torch.cat(picked)].clone()


def _draw_rows(total: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return ``count`` different row numbers, in rising order."""
    return torch.randperm(total, generator=generator)[:count].sort().values
