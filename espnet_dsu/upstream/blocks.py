"""Audio in consecutive blocks: recordings that are never held whole, resampled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from espnet_dsu.upstream.resampling import resample

# torchaudio's sinc filter: zero crossings on either side, and its roll-off.
_FILTER_WIDTH, _ROLLOFF = 6, 0.99
BLOCK_SEC = 1


class Recording(Protocol):
    """Mono audio that can be read from its start as often as is wanted."""

    fs: int
    num_samples: int

    def blocks(self, block_samples: int) -> Iterator[np.ndarray] | Iterator[Tensor]:
        """Give the samples (n,), n = ``block_samples`` but for the last block."""


class Waveform:
    """A recording that is in memory, (N,) at ``fs`` Hz, on any device."""

    def __init__(self, wav: Tensor, fs: int) -> None:
        self._wav, self.fs, self.num_samples = wav, fs, len(wav)

    def blocks(self, block_samples: int) -> Iterator[Tensor]:
        """Give the samples (n,), n = ``block_samples`` but for the last block."""
        return iter(self._wav.split(block_samples))


class BlockResampler:
    """Resamples a waveform that comes in blocks.

    The blocks given out, joined, are what :func:`espnet_dsu.upstream.resample` makes
    of the whole, to rounding, wherever the waveform is cut.
    """

    def __init__(self, orig_fs: int, target_fs: int) -> None:
        resample(torch.zeros(0), orig_fs, target_fs)  # refuses impossible rates
        self._fs = orig_fs, target_fs
        common = math.gcd(int(orig_fs), int(target_fs))
        # The filter's phases repeat after so many samples in and so many out.
        self._period = int(orig_fs) // common, int(target_fs) // common
        reach = _FILTER_WIDTH * self._period[0] / (min(self._period) * _ROLLOFF)
        # Whole periods that the filter looks behind and ahead.
        self._margin = math.ceil(math.ceil(reach) / self._period[0])
        if orig_fs == target_fs:
            self._margin = 0
        self._tail = torch.zeros(0)
        self._tail_start = 0  # in periods
        self._done = 0  # periods given out

    @property
    def delay_sec(self) -> float:
        """How far the input is ahead of the output at most."""
        return self.needed(1) / self._fs[0] if self._margin else 0.0

    def needed(self, num_samples: int) -> int:
        """Return how many samples must go in before ``num_samples`` have come out."""
        orig, target = self._period
        return (-(-num_samples // target) + self._margin) * orig

    def feed(self, block: Tensor) -> Tensor:
        """Take samples (n,) float32; give those (m,) of the output that are final."""
        if self._margin == 0:
            return block
        self._append(block)
        held = self._tail_start + len(self._tail) // self._period[0]
        return self._give(max(self._done, held - self._margin))

    def finish(self) -> Tensor:
        """Give the rest of the output; the waveform has ended."""
        if self._margin == 0:
            return self._tail
        return self._give(None)

    def _append(self, block: Tensor) -> None:
        self._tail = torch.cat([self._tail.to(block.device), block])

    def _give(self, stop: int | None) -> Tensor:
        """Give out the periods from those done to ``stop``, or to the end."""
        orig, target = self._period
        start = self._done
        if stop is not None and stop <= start:
            return self._tail[:0]
        reach = None if stop is None else (stop + self._margin - self._tail_start)
        wav = self._tail if reach is None else self._tail[: reach * orig]
        skip = (start - self._tail_start) * target
        out = resample(wav, *self._fs)[skip:]
        if stop is None:
            return out
        keep = max(0, stop - self._margin)
        self._tail = self._tail[(keep - self._tail_start) * orig :].clone()
        self._tail_start, self._done = keep, stop
        return out[: (stop - start) * target]


def resampled_blocks(
    recording: Recording, target_fs: int, device: torch.device
) -> Iterator[Tensor]:
    """Read a recording at another rate: float32 (n,) blocks on a device.

    The cuts depend on the rates alone, so a file and the same samples in memory give
    the same bits.
    """
    resampler = BlockResampler(recording.fs, target_fs)
    for block in recording.blocks(BLOCK_SEC * int(recording.fs)):
        out = resampler.feed(torch.as_tensor(block).to(device).float())
        if len(out):
            yield out
    rest = resampler.finish()
    if len(rest):
        yield rest.to(device)
