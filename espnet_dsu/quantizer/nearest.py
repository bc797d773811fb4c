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
def _float32_products(device: torch.device) -> Iterator[None]:
    """Keep autocast, TF32 and bfloat16 shortcuts out of the products."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def nearest(frames: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Return which centroid ``(K, D)`` is nearest to each frame ``(N, D)``: ``(N,)``.

    A tie goes to the lowest index. Distances are float32. Every chunk has the same
    number of rows, the last one padded, so a frame meets the same product whatever is
    passed with it: on one machine and number of threads its unit does not depend on
    its neighbours. Another device or BLAS may differ where two centroids are within
    rounding (about 1e-6 of the squared distances) of equally near.
    """
    frames, centroids = frames.float(), centroids.float()
    # Distances do not change under translation, rounding errors shrink.
    mean = centroids.mean(dim=0)
    weight = (centroids - mean).t().contiguous()
    bias = weight.square().sum(dim=0)
    units = torch.empty(len(frames), dtype=torch.long, device=frames.device)
    rows = chunk_rows(len(centroids), frames.device)
    scores = frames.new_empty(rows, len(centroids))
    with _float32_products(frames.device):
        for first in range(0, len(frames), rows):
            chunk = frames[first : first + rows] - mean
            size = len(chunk)
            if size < rows:
                chunk = torch.nn.functional.pad(chunk, (0, 0, 0, rows - size))
            torch.addmm(bias, chunk, weight, alpha=-2, out=scores)
            units[first : first + size] = scores.min(dim=1).indices[:size]
    return units
