"""A uniform, seeded sample of a corpus's frames, in bounded memory and any order.

Every frame has a random 64-bit key of its own, drawn from the seed and the utterance's
id. The sample is the frames with the smallest keys (bottom-k sampling; Cohen and
Kaplan, "Summarizing data using bottom-k sketches", 2007), so it does not matter who
looks at the frames, when, or in which order.
"""

from __future__ import annotations

import hashlib

import numpy as np

from espnet_dsu.errors import DSUError

# Held beyond the capacity, so that pruning is rare: a quarter, but not more memory than
# a quantizer needs later beside the frames.
_SLACK, _SLACK_BYTES = 4, 2**26
# Columns that are put into order at a time: one cache line of float32.
_COLUMNS = 16
# Frames that are moved at a time.
_ROWS = 4096


def frame_keys(seed: int, name: str, num_frames: int) -> np.ndarray:
    """Return the keys (T,) uint64 of the frames of the utterance ``name``.

    The first T keys are the same for every number of frames.
    """
    key = int.from_bytes(_digest(seed, "frames", name)[:16], "little")
    return np.random.Philox(key=key).random_raw(num_frames)


def is_drawn(seed: int, name: str, portion: float) -> bool:
    """Say whether the utterance ``name`` is in a random ``portion`` of any corpus.

    Raises:
        DSUError: a portion that is no share in (0, 1].
    """
    if not 0 < portion <= 1:
        raise DSUError(f"portion is {portion}, expected a share in (0, 1]")
    draw = int.from_bytes(_digest(seed, "utterance", name)[:8], "little")
    return draw < portion * 2**64


def _digest(seed: int, what: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {what} {name}".encode()).digest()


class FrameSample:
    """Keep the ``capacity`` frames with the smallest keys.

    Holds up to a quarter more while frames come, at most 64 MiB, and no copy after.

    Args:
        capacity: n, the number of frames to keep.
        seed: of the keys.

    Raises:
        DSUError: a capacity below 1.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        if capacity < 1:
            raise DSUError(f"max_frames is {capacity}, expected at least 1")
        self.capacity = capacity
        self.seed = seed
        self.num_seen = 0
        self._held = 0
        self._limit = np.uint64(2**64 - 1)

    def add(self, name: str, frames: np.ndarray, first: int = 0) -> None:
        """Offer frames (T, D) of the utterance ``name``, from number ``first`` on."""
        if self.num_seen == 0:
            # The system gives pages when they are written: a small corpus costs little.
            dim = frames.shape[1]
            slack = min(self.capacity // _SLACK, _SLACK_BYTES // (4 * dim))
            self._keys = np.empty(self.capacity + max(1, slack), np.uint64)
            self._frames = np.empty((len(self._keys), dim), np.float32)
        self.num_seen += len(frames)
        keys = frame_keys(self.seed, name, first + len(frames))[first:]
        rows = np.flatnonzero(keys <= self._limit)
        while len(rows):
            now, rows = np.split(rows, [len(self._keys) - self._held])
            place = slice(self._held, self._held + len(now))
            self._keys[place], self._frames[place] = keys[now], frames[now]
            self._held += len(now)
            if len(rows):
                self._prune()
                rows = rows[keys[rows] <= self._limit]

    def take(self) -> np.ndarray:
        """Hand out the sample (n, D), float32 in the order of its keys, once.

        Raises:
            DSUError: no frames came.
        """
        if self.num_seen == 0:
            raise DSUError("there are no frames to sample: no audio was usable")
        if self._held > self.capacity:
            self._prune()
        frames, number = self._frames, self._held
        del self._frames
        order = self._keys[:number].argsort()
        for first in range(0, frames.shape[1], _COLUMNS):
            part = slice(first, first + _COLUMNS)
            frames[:number, part] = frames[order, part]
        # Gives the memory beyond the sample back without a copy of the rest.
        frames.resize((number, frames.shape[1]), refcheck=False)
        return frames

    def _prune(self) -> None:
        """Keep the smallest keys, moving as few frames as possible."""
        n = self.capacity
        keys = self._keys[: self._held]
        smallest = keys.argpartition(n - 1)[:n]
        keep = np.zeros(len(keys), bool)
        keep[smallest] = True
        holes, movers = np.flatnonzero(~keep[:n]), n + np.flatnonzero(keep[n:])
        self._keys[holes] = self._keys[movers]
        for first in range(0, len(holes), _ROWS):
            part = slice(first, first + _ROWS)
            self._frames[holes[part]] = self._frames[movers[part]]
        self._held = n
        self._limit = self._keys[:n].max()
