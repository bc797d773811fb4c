"""The nearest centroid of each frame: one matrix product per bounded chunk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Memory of one chunk's scores (rows, K). On a CPU they should stay in the cache, a GPU
# wants larger products.
_CHUNK_BYTES = {"cpu": 2**20, "cuda": 2**26}
_ROWS_MULTIPLE = 16


def chunk_rows(num_centroids: int, device: torch.device) -> int:
    """Rows per chunk: a function of K and the device, never of the number of frames."""
    rows = _CHUNK_BYTES.get(device.type, 2**26) // (4 * num_centroids)
    return max(1, rows // _ROWS_MULTIPLE) * _ROWS_MULTIPLE


@contextmanager
def float32_products(device: torch.device) -> Iterator[None]:
    """Keep autocast, TF32 and bfloat16 shortcuts out of the products."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


class Finder:
    """Finds the nearest of ``centroids (K, D)`` for chunks of up to ``rows`` frames.

    A tie goes to the lowest index. Distances are float32, and only that within
    :func:`float32_products`. Smaller chunks are padded, so that a frame meets the same
    product whatever is passed with it: on one machine and number of threads its unit
    does not depend on its neighbours.
    """

    def __init__(self, centroids: torch.Tensor, rows: int) -> None:
        # Distances do not change under translation, rounding errors shrink.
        self._mean = centroids.mean(dim=0)
        self._weight = (centroids - self._mean).t().contiguous()
        self._bias = self._weight.square().sum(dim=0)
        self._scores = centroids.new_empty(rows, len(centroids))

    def __call__(self, chunk: torch.Tensor) -> torch.Tensor:
        """Return the units ``(n,)`` of a float32 chunk ``(n, D)``."""
        size, rows = len(chunk), len(self._scores)
        centred = chunk - self._mean
        if size < rows:
            centred = torch.nn.functional.pad(centred, (0, 0, 0, rows - size))
        torch.addmm(self._bias, centred, self._weight, alpha=-2, out=self._scores)
        return self._scores[:size].min(dim=1).indices


def nearest(frames: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Return which centroid ``(K, D)`` is nearest to each frame ``(N, D)``: ``(N,)``.

    Computed in float32, see :class:`Finder`. Another device or BLAS may differ where
    two centroids are within rounding (about 1e-6 of the squared distances) of equally
    near.
    """
    rows = chunk_rows(len(centroids), frames.device)
    units = torch.empty(len(frames), dtype=torch.long, device=frames.device)
    with float32_products(frames.device):
        find = Finder(centroids.float(), rows)
        for first in range(0, len(frames), rows):
            part = slice(first, first + rows)
            units[part] = find(frames[part].float())
    return units
