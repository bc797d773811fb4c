"""Training frames where they lie, read in chunks on the device that computes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import Frames
from espnet_dsu.quantizer.ranks import Ranks

# Frames are read this many at a time where nothing else decides.
CHUNK_ROWS = 512
# Frames move to a GPU as a whole where they leave this share of its memory free.
_FREE_SHARE = 0.3


class FrameSet:
    """Frames ``(N, D)`` of all ranks, each of which holds a part.

    The parts are numbered through in order of rank, so that a draw of frames is the
    same however they are divided. Nothing is copied but chunks, in float32; frames that
    do not fit into a GPU's memory stay on the CPU and pass through pinned memory.

    Args:
        frames: This rank's part; what :func:`as_frames` returns.
        device: Where chunks are wanted.

    Attributes:
        total: N, frames of all ranks.
        dim: D.
        ranks: The processes that hold them.
    """

    def __init__(self, frames: torch.Tensor, device: torch.device) -> None:
        self.ranks, self.device = Ranks(), device
        self.dim = frames.shape[1]
        size = torch.tensor(len(frames), device=device)
        sizes = self.ranks.collect(size).tolist()
        self.total = sum(sizes)
        self._first = sum(sizes[: self.ranks.rank])
        self._frames = frames.to(device) if _fits(frames, device) else frames

    def chunks(
        self, size: int = CHUNK_ROWS, numbers: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """Yield this rank's frames, or those of ``numbers``, ``size`` at a time."""
        rows = None if numbers is None else numbers[self.holds(numbers)] - self._first
        for first in range(0, len(self._frames if rows is None else rows), size):
            part = slice(first, first + size)
            yield self._load(part if rows is None else rows[part])

    def count(self, numbers: torch.Tensor | None = None) -> int:
        """Return how many frames ``chunks`` yields."""
        return len(self._frames) if numbers is None else int(self.holds(numbers).sum())

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw ``count`` different frames; return their numbers, rising."""
        return torch.randperm(self.total, generator=generator)[:count].sort().values

    def take(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the frames with these ``numbers (n,)``, on every rank: ``(n, D)``."""
        held = self.holds(numbers)
        taken = torch.zeros(len(numbers), self.dim, device=self.device)
        taken[held.to(self.device)] = self._load(numbers[held] - self._first)
        return self.ranks.add(taken)

    def farthest(
        self, distances: torch.Tensor, count: int, numbers: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the numbers of the frames of the ``count`` greatest ``distances``.

        ``distances`` belong to the frames that ``chunks`` yields for ``numbers``.
        Distances of zero do not count.
        """
        top = distances.topk(min(count, len(distances)))
        best = distances.new_zeros(2, count, dtype=torch.float64)
        best[0, : len(top.values)] = top.values
        rows = top.indices.cpu()
        mine = rows if numbers is None else numbers[self.holds(numbers)][rows]
        shift = self._first if numbers is None else 0
        best[1, : len(rows)] = (mine + shift).to(self.device)
        values, found = self.ranks.collect(best).transpose(0, 1).flatten(1)
        order = values.argsort(descending=True, stable=True)[:count]
        return found[order[values[order] > 0]].long().cpu()

    def moments(self) -> tuple[torch.Tensor, float]:
        """Return the mean frame ``(D,)`` and the mean variance of the dimensions.

        Raises:
            DSUError: A frame is not finite.
        """
        sums = torch.zeros(2, self.dim, dtype=torch.float64, device=self.device)
        for chunk in self.chunks():
            exact = chunk.double()
            sums[0] += exact.sum(dim=0)
            sums[1] += exact.square_().sum(dim=0)
        if not self.ranks.add(sums).isfinite().all():
            self._refuse()
        mean = sums[0] / self.total
        variance = sums[1] / self.total - mean.square()
        return mean.float(), max(0.0, float(variance.mean()))

    def _refuse(self) -> None:
        bad = sum((~c.isfinite().all(dim=1)).sum() for c in self.chunks())
        count = torch.as_tensor(bad, device=self.device)
        raise DSUError(
            f"training frames: {int(self.ranks.add(count))} of {self.total} frames "
            "hold NaN or infinity, expected finite values; look for NaN samples in the "
            "audio, or for an upstream that overflows in half precision"
        )

    def holds(self, numbers: torch.Tensor) -> torch.Tensor:
        """Say which of ``numbers (n,)`` this rank has: bool ``(n,)``."""
        last = self._first + len(self._frames)
        return (numbers >= self._first) & (numbers < last)

    def _load(self, rows: slice | torch.Tensor) -> torch.Tensor:
        if isinstance(rows, torch.Tensor):
            rows = rows.to(self._frames.device)
        part = self._frames[rows]
        if part.device.type == "cpu" and self.device.type == "cuda":
            # The copy and the work on the chunk before it go on side by side.
            part = part.pin_memory().to(self.device, non_blocking=True)
        return part.to(self.device).float()


def as_frames(frames: Iterable[Frames] | Frames, dim: int) -> torch.Tensor:
    """Return one tensor ``(N, D)`` of an array, or of an iterable of them, joined.

    One array is not copied. The caller bounds N; several take twice their size for a
    moment.

    Raises:
        DSUError: Items that are not ``(n, D)``.
    """
    whole = isinstance(frames, (np.ndarray, torch.Tensor))
    parts = []
    for index, item in enumerate([frames] if whole else frames):
        part = _as_tensor(item)
        if part.ndim != 2 or part.shape[1] != dim:
            raise DSUError(
                f"item {index} of the training frames has shape {tuple(part.shape)}, "
                f"expected (n, {dim}); pass a 2-D array, or an iterable of them, and "
                "check that the quantizer's dim is that of the upstream"
            )
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    return torch.cat(
        [p.to("cpu", torch.float32) for p in parts or [torch.empty(0, dim)]]
    )


def _as_tensor(frames: Frames) -> torch.Tensor:
    with warnings.catch_warnings():
        # A read-only memory map; nothing here writes into frames.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.as_tensor(frames).detach()


def _fits(frames: torch.Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, total = torch.cuda.mem_get_info(device)
    return free - frames.nbytes > _FREE_SHARE * total
