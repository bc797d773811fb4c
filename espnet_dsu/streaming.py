"""Units of audio that is still coming in.

Speech encoders are not causal: a frame depends on what comes after it, and on how the
whole utterance is normalised. A stream therefore waits for some audio after each frame,
normalises by what it has heard so far, and gives units that agree with those of the
whole utterance to a share which is to be measured
(:func:`espnet_dsu.stream_report.measure_stream`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet_dsu.audio import check_samples
from espnet_dsu.errors import DSUError
from espnet_dsu.quantizer.base import Quantizer
from espnet_dsu.units.sequence import UnitSequence
from espnet_dsu.units.spec import UnitSpec
from espnet_dsu.upstream import Upstream
from espnet_dsu.upstream.blocks import BlockResampler
from espnet_dsu.upstream.windows import Window, WindowCutter, in_frames


class UnitStream:
    """Feed samples, get units; made by ``UnitTokenizer.stream``.

    Every ``hop_sec``, the frames of one hop are computed with context before and after
    them. A unit that was given out is final. The units depend on the samples and the
    options alone, not on how the samples were cut into feeds.

    Attributes:
        latency_sec: from the start of a frame until its unit can be given out, at
            worst, computing not counted: the samples that a frame is made of, the
            lookahead, the rest of its hop, and the delay of resampling.
        num_samples: fed samples that the units so far were made from.
        compute_sec: time spent computing so far.
        slowest_hop_sec: longest time spent on one hop.
    """

    def __init__(
        self,
        upstream: Upstream,
        quantizer: Quantizer,
        spec: UnitSpec,
        fs: int,
        *,
        hop_sec: float = 0.5,
        context_sec: float = 5.0,
        lookahead_sec: float = 0.5,
        statistics: Any = None,
        device: torch.device = torch.device("cpu"),
    ) -> None:
        """Start a stream.

        Args:
            upstream: of the tokenizer.
            quantizer: of the tokenizer.
            spec: of the tokenizer.
            fs: sampling rate of the samples to come, in Hz.
            hop_sec: how often units come; longer hops cost less computing.
            context_sec: audio before a hop that its frames see.
            lookahead_sec: audio after a hop that its frames see.
            statistics: for normalisation, such as those of the speaker or the session
                (``UnitTokenizer.statistics``); None takes those of the audio so far.
            device: where to compute.

        Raises:
            DSUError: an impossible rate, or a time that is negative.
        """
        for name, value in (
            ("hop_sec", hop_sec),
            ("context_sec", context_sec),
            ("lookahead_sec", lookahead_sec),
        ):
            if not 0 <= value < float("inf"):
                raise DSUError(f"{name} is {value}, expected seconds from 0 up")
        self._upstream, self._quantizer, self._spec = upstream, quantizer, spec
        self._device, self._fs = device, int(fs)
        self._resampler = BlockResampler(fs, upstream.sample_rate)
        self._cutter = WindowCutter(
            upstream,
            max(1, in_frames(hop_sec, upstream)),
            in_frames(context_sec, upstream),
            in_frames(lookahead_sec, upstream),
        )
        waiting = self._cutter.next_stop / upstream.sample_rate
        self.latency_sec = waiting + self._resampler.delay_sec
        self._given, self._latest = statistics, None
        self._heard = torch.zeros(0)
        self._running = upstream.running_statistics(self._listen())
        self._waiting = torch.zeros(0)
        self._ended = False
        self.num_samples = 0
        self.compute_sec = self.slowest_hop_sec = 0.0

    @property
    def real_time_factor(self) -> float:
        """Computing time per time of audio; below 1 the stream keeps up."""
        return self.compute_sec * self._fs / max(1, self.num_samples)

    def feed(self, samples: np.ndarray | Tensor) -> UnitSequence:
        """Take samples (n,), any n; give the frame units that became final.

        Raises:
            DSUError: samples that are no mono waveform, or a stream that has ended.
        """
        self._check_open()
        fed = torch.as_tensor(samples)
        if len(fed):
            check_samples(fed.cpu().numpy(), "the samples fed")
        fed = fed.to(self._device).float()
        self._waiting = torch.cat([self._waiting.to(self._device), fed])
        parts: list[np.ndarray] = []
        while True:
            # The cuts follow from the windows, so feeds cannot change a bit.
            wanted = self._resampler.needed(self._cutter.next_stop)
            if self.num_samples + len(self._waiting) < wanted:
                return self._sequence(parts)
            parts.append(self._hop(wanted - self.num_samples))

    def finish(self) -> UnitSequence:
        """End the stream; give the units of the frames that are left.

        Raises:
            DSUError: the stream has ended already.
        """
        self._check_open()
        self._ended = True
        return self._sequence([self._hop(len(self._waiting), last=True)])

    def _check_open(self) -> None:
        if self._ended:
            raise DSUError("the stream has ended; start another one")

    @torch.inference_mode()
    def _hop(self, number: int, last: bool = False) -> np.ndarray:
        """Encode what is completed by the next ``number`` waiting samples, (T, S)."""
        start = time.perf_counter()
        block, self._waiting = self._waiting[:number], self._waiting[number:]
        self.num_samples += number
        samples = self._resampler.feed(block)
        if last:
            samples = torch.cat([samples, self._resampler.finish().to(samples)])
        statistics = self._statistics(samples)
        windows = [*self._cutter.feed(samples)]
        if last and (rest := self._cutter.finish()):
            windows.append(rest)
        units = [self._units(window, statistics) for window in windows]
        seconds = time.perf_counter() - start
        self.compute_sec += seconds
        self.slowest_hop_sec = max(self.slowest_hop_sec, seconds)
        return np.concatenate([self._nothing(), *units])

    def _units(self, window: Window, statistics: Any) -> np.ndarray:
        frames = window.frames(self._upstream, statistics)
        return self._quantizer.assign(frames).cpu().numpy()

    def _statistics(self, samples: Tensor) -> Any:
        """Return what to normalise by once ``samples`` have been heard."""
        if self._given is None and len(samples):
            self._heard = samples
            self._latest = next(self._running)
        return self._latest if self._given is None else self._given

    def _listen(self) -> Iterator[Tensor]:
        while True:
            yield self._heard

    def _nothing(self) -> np.ndarray:
        return np.zeros((0, self._spec.num_streams), np.int64)

    def _sequence(self, parts: list[np.ndarray]) -> UnitSequence:
        units = np.concatenate([self._nothing(), *parts])
        return UnitSequence.from_frames(
            units[:, 0] if self._spec.num_streams == 1 else units,
            self._spec.frame_shift,
            self._spec.sample_rate,
            self._spec.fingerprint,
        )
