"""Frames of long audio, window by window: memory does not grow with the length.

What a frame depends on over the whole utterance, normalisation, is gathered in a pass
of its own, so windows differ from the whole in one thing only: attention sees the
window. A window is a stretch of *central* frames, which are kept, with context on both
sides, which is not. Every frame is central in one window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.blocks import Recording, resampled_blocks
from espnet_dsu.upstream.resampling import resample


@dataclass(frozen=True)
class Windowing:
    """Which audio is encoded by windows, and how it is cut.

    Attributes:
        window_sec: length of a window, context included. Audio that is no longer than
            this is encoded whole.
        context_sec: what a window sees before and after its central frames.
    """

    window_sec: float = 40.0
    context_sec: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.context_sec < self.window_sec < float("inf"):
            raise DSUError(
                f"windows of {self.window_sec} s with {self.context_sec} s of context "
                "on each side: expected a window longer than both contexts"
            )

    def applies_to(self, num_samples: int, fs: int) -> bool:
        """Whether audio of this length is cut."""
        return num_samples > self.window_sec * fs

    def to_dict(self) -> dict[str, float]:
        """Give plain values for YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str) -> Windowing:
        """Read what :meth:`to_dict` gave; ``source`` names the file in errors."""
        numbers = isinstance(values, Mapping) and all(
            isinstance(value, (int, float)) for value in values.values()
        )
        if not numbers or set(values) != {"window_sec", "context_sec"}:
            raise DSUError(
                f"{source}: windowing is {values!r}, expected window_sec and "
                "context_sec in seconds; restore the bundle"
            )
        return cls(**values)


# Part of the bundle's format: fingerprints leave it out, and old bundles mean it.
DEFAULT_WINDOWING = Windowing()


@dataclass(frozen=True)
class Window:
    """Samples to compute frames of.

    Attributes:
        samples: (n,), context included.
        first: number of the first central frame, in the utterance.
        skip: frames of context before it.
        count: of central frames.
    """

    samples: Tensor
    first: int
    skip: int
    count: int

    def frames(self, upstream: Upstream, statistics: Any = None) -> Tensor:
        """Compute the central frames (count, D).

        Args:
            upstream: to compute them with.
            statistics: of the utterance; None takes those of the window.
        """
        frames, _ = upstream.frames(*self._batch(), _of_one(statistics))
        return frames[0, self.skip : self.skip + self.count]

    def layer_frames(
        self, upstream: Upstream, layers: Sequence[int], statistics: Any = None
    ) -> list[Tensor]:
        """Compute the central frames (count, D) of several layers in one pass."""
        found, _ = upstream.layer_frames(*self._batch(), layers, _of_one(statistics))
        return [frames[0, self.skip : self.skip + self.count] for frames in found]

    def _batch(self) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([len(self.samples)], device=self.samples.device)
        return self.samples[None], lengths


def _of_one(statistics: Any) -> list[Any] | None:
    return None if statistics is None else [statistics]


class WindowCutter:
    """Cuts samples into windows, the same ones whatever blocks they come in.

    Attributes:
        central: frames that a window keeps.
        before: frames of context before them.
        after: frames of context after them.
    """

    def __init__(
        self, upstream: Upstream, central: int, before: int, after: int
    ) -> None:
        self.central, self.before, self.after = central, before, after
        self._upstream = upstream
        self._first = 0  # the next central frame
        self._samples = torch.zeros(0)
        self._start = 0  # where they start, in samples

    @property
    def next_stop(self) -> int:
        """How many samples there must be, from the start on, for the next window."""
        return self._stretch(self._first + self.central + self.after)[1]

    def feed(self, block: Tensor) -> Iterator[Window]:
        """Take samples (n,); give the windows that they complete, to be used up."""
        self._samples = torch.cat([self._samples.to(block.device), block])
        while self._start + len(self._samples) >= (stop := self.next_stop):
            yield self._cut(self.central, stop)

    def finish(self) -> Window | None:
        """Give the last window; None where no frames are left."""
        total = self._start + len(self._samples)
        count = self._upstream.num_frames(total) - self._first
        return self._cut(count, total) if count > 0 else None

    def _stretch(self, last: int) -> tuple[int, int]:
        first = max(0, self._first - self.before)
        return self._upstream.frame_window(first, last)

    def _cut(self, count: int, stop: int) -> Window:
        start, _ = self._stretch(self._first + 1)
        samples = self._samples[start - self._start : stop - self._start]
        skip = self._first - start // self._upstream.frame_shift
        window = Window(samples, self._first, skip, count)
        self._first += count
        start, _ = self._stretch(self._first + 1)
        self._samples = self._samples[start - self._start :]
        self._start = start
        return window


def in_frames(seconds: float, upstream: Upstream) -> int:
    """Return how many whole frames so many seconds are."""
    return int(seconds * upstream.sample_rate / upstream.frame_shift + 1e-6)


@torch.inference_mode()
def recording_windows(
    upstream: Upstream,
    recording: Recording,
    windowing: Windowing,
    device: str | torch.device,
) -> Iterator[tuple[Window, Any]]:
    """Cut a recording of any length into windows; a short one is a window by itself.

    A long recording is read twice if its frames depend on statistics of the whole. The
    memory is that of one window.

    Yields:
        each window, and the statistics to compute its frames with. Their central
        frames, joined, are all frames of the recording.
    """
    device, rate = torch.device(device), upstream.sample_rate
    if not windowing.applies_to(recording.num_samples, recording.fs):
        (wav,) = recording.blocks(recording.num_samples)
        samples = resample(torch.as_tensor(wav).to(device).float(), recording.fs, rate)
        yield Window(samples, 0, 0, upstream.num_frames(len(samples))), None
        return
    statistics = upstream.statistics(resampled_blocks(recording, rate, device))
    context = in_frames(windowing.context_sec, upstream)
    central = max(1, in_frames(windowing.window_sec, upstream) - 2 * context)
    cutter = WindowCutter(upstream, central, context, context)
    for block in resampled_blocks(recording, rate, device):
        for window in cutter.feed(block):
            yield window, statistics
    last = cutter.finish()
    if last is not None:
        yield last, statistics


@torch.inference_mode()
def recording_frames(
    upstream: Upstream,
    recording: Recording,
    windowing: Windowing,
    device: str | torch.device,
) -> Iterator[Tensor]:
    """Compute the frames (n, D) of a recording, window by window, in their order."""
    for window, statistics in recording_windows(upstream, recording, windowing, device):
        yield window.frames(upstream, statistics)
