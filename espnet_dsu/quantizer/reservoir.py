"""A uniform, seeded sample of frames from a stream, in bounded memory."""

from __future__ import annotations

import numpy as np

from espnet_dsu.errors import DSUError


class FrameReservoir:
    """Keep ``capacity`` frames, each frame seen being equally likely to stay.

    Algorithm R of Vitter (1985), https://doi.org/10.1145/3147.3165. The same frames in
    the same order with the same seed leave the same sample.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        if capacity < 1:
            raise DSUError(f"max_frames is {capacity}, expected at least 1")
        self.capacity = capacity
        self.num_seen = 0
        self._rng = np.random.default_rng(seed)
        self._filling: list[np.ndarray] = []
        self._sample: np.ndarray | None = None

    def add(self, frames: np.ndarray) -> None:
        """Offer frames (n, D)."""
        room = max(self.capacity - self.num_seen, 0)
        if room:
            self._filling.append(np.array(frames[:room], dtype=np.float32))
            self.num_seen += len(self._filling[-1])
        rest = frames[room:]
        if len(rest) == 0:
            return
        sample = self.sample()
        order = np.arange(self.num_seen + 1, self.num_seen + 1 + len(rest))
        slots = (self._rng.random(len(rest)) * order).astype(np.int64)
        kept = np.flatnonzero(slots < self.capacity)
        # Where two frames draw one slot the later must win, as if drawn one by one.
        last = dict(zip(slots[kept].tolist(), kept.tolist()))
        sample[list(last.keys())] = rest[list(last.values())]
        self.num_seen += len(rest)

    def sample(self) -> np.ndarray:
        """Give the frames kept so far, (n, D) float32 with n <= capacity."""
        if self._sample is None or self._filling:
            parts = ([] if self._sample is None else [self._sample]) + self._filling
            if not parts:
                raise DSUError("there are no frames to sample: no audio was usable")
            self._sample = np.concatenate(parts)
            self._filling = []
        return self._sample
