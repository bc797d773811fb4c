"""Mel-frequency cepstra: frames without a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet_dsu.errors import DSUError
from espnet_dsu.upstream.base import Upstream
from espnet_dsu.upstream.registry import UpstreamName, register_upstream

_DEFAULT_RATE, _DEFAULT_SHIFT_MS = 16000, 10.0
_WINDOW_MS = 25.0
_NUM_CEPSTRA = 13
_CMVN = ("utterance", "none")
# Deltas of deltas reach this many frames to either side.
_DELTA_REACH = 4


@dataclass(frozen=True)
class CMVN:
    """Mean and standard deviation (D,) of the frames of an utterance."""

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class Moments:
    """Number, mean (D,) and summed squared deviation (D,) of frames, in float64."""

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, frames: Tensor) -> Moments:
        """Take the moments of frames (n, D)."""
        mean = frames.mean(dim=0)
        return cls(len(frames), mean, (frames - mean).square().sum(dim=0))

    def __add__(self, other: Moments) -> Moments:
        """Join two sets of frames; exact to rounding however large the means are."""
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        spread = step.square() * (self.count * other.count / count)
        return Moments(count, mean, self.squares + other.squares + spread)

    def cmvn(self) -> CMVN:
        """Give what brings these frames to zero mean and unit variance."""
        # The floor keeps rounding noise of constant dimensions (digital silence)
        # from being blown up to unit variance.
        deviation = (self.squares / self.count).sqrt().clamp_min(1e-5)
        return CMVN(self.mean, deviation)


@register_upstream
class MFCCUpstream(Upstream):
    """Kaldi-style MFCC with deltas and delta-deltas, D = 39.

    The first-iteration targets of HuBERT (https://arxiv.org/abs/2106.07447). Samples
    are in [-1, 1], so the floor of the log mel energies acts as a noise floor near one
    16-bit step. Each utterance is computed on its own in float64, so its frames are
    bitwise the same in any batch.

    Options:
        sample_rate: Hz, 16000 by default, at least 8000.
        cmvn: ``utterance`` (default) gives each of the 39 dimensions zero mean and
            unit variance over the utterance: far better units than ``none``.
        frame_shift: milliseconds from one frame to the next, 10 by default, 1 to 25.
            A frame is of 25 ms whatever the shift: above 12.5 ms neighbours overlap by
            less than half. Deltas are over frames, so they reach further in time.
    """

    family = "mfcc"
    layered = False
    conf_keys = ("sample_rate", "cmvn", "frame_shift")

    def __init__(
        self,
        sample_rate: int = _DEFAULT_RATE,
        cmvn: str = "utterance",
        frame_shift: float = _DEFAULT_SHIFT_MS,
    ):
        super().__init__()
        if not isinstance(sample_rate, int) or sample_rate < 8000:
            raise DSUError(
                f"mfcc: sample_rate {sample_rate!r}: expected whole Hz from 8000 up"
            )
        if cmvn not in _CMVN:
            raise DSUError(f"mfcc: cmvn {cmvn!r}: expected one of {', '.join(_CMVN)}")
        number = isinstance(frame_shift, (int, float))
        if not number or not 1 <= frame_shift <= _WINDOW_MS:
            raise DSUError(
                f"mfcc: frame_shift {frame_shift!r}: expected milliseconds from 1 to "
                f"{_WINDOW_MS:g}, the length of a window"
            )
        self.name = UpstreamName(self.family)
        self.sample_rate = sample_rate
        self.cmvn = cmvn
        self._shift_ms = float(frame_shift)
        # Kaldi's own rounding, so that these are exactly its window and shift.
        self.window_size = int(sample_rate * _WINDOW_MS * 0.001)
        self.frame_shift = int(sample_rate * self._shift_ms * 0.001)
        self.receptive_field = self.window_size + 2 * _DELTA_REACH * self.frame_shift
        self.dim = 3 * _NUM_CEPSTRA

    @classmethod
    def build(cls, name: UpstreamName, conf: Mapping[str, Any]) -> MFCCUpstream:
        """Build; there is no checkpoint to name."""
        if name.checkpoint:
            raise DSUError(f"upstream '{name}': mfcc has no checkpoint; write 'mfcc'")
        return cls(**conf)

    def num_frames(self, num_samples: int) -> int:
        """Return how many whole windows fit."""
        if num_samples < self.window_size:
            return 0
        return 1 + (num_samples - self.window_size) // self.frame_shift

    def config(self) -> dict[str, Any]:
        """Return the name and every option."""
        conf = {
            "sample_rate": self.sample_rate,
            "cmvn": self.cmvn,
            "frame_shift": self._shift_ms,
        }
        return {"name": str(self.name), "conf": conf}

    def identity(self) -> dict[str, Any]:
        """Return the family and every option."""
        return {"family": self.family, **self.config()["conf"]}

    def save_weights(self, directory: Path) -> None:
        """Do nothing: there are no weights."""

    @classmethod
    def tag_of(cls, name: UpstreamName, conf: Mapping[str, Any]) -> str:
        """``mfcc`` and what is not default: ``mfcc_8k_20ms``, ``mfcc_nocmvn``."""
        made = cls.build(name, conf)
        parts = [cls.family]
        if made.sample_rate != _DEFAULT_RATE:
            thousands, rest = divmod(made.sample_rate, 1000)
            parts.append(f"{made.sample_rate}hz" if rest else f"{thousands}k")
        if made._shift_ms != _DEFAULT_SHIFT_MS:
            parts.append(f"{made._shift_ms:g}ms".replace(".", "p"))
        if made.cmvn == "none":
            parts.append("nocmvn")
        return "_".join(parts)

    def frame_window(self, first: int, last: int) -> tuple[int, int]:
        """Return the samples [start, stop) that frames [first, last) are made from."""
        shift, start = self.frame_shift, max(0, first - _DELTA_REACH)
        return start * shift, (last - 1 + _DELTA_REACH) * shift + self.window_size

    def statistics(self, blocks: Iterable[Tensor]) -> CMVN | None:
        """Gather mean and deviation over all frames of an utterance."""
        last = None
        if self.cmvn == "utterance":
            for last in self.running_statistics(blocks):
                pass
        return last

    def running_statistics(self, blocks: Iterable[Tensor]) -> Iterator[CMVN | None]:
        """Give, after each block, the statistics of all blocks so far."""
        final, tail, done = Moments.of(torch.zeros(0, self.dim)), torch.zeros(0), 0
        for block in blocks:
            if self.cmvn == "none":
                yield None
                continue
            tail = torch.cat([tail.to(block.device), block])
            features = self._features(tail)
            # The last frames change when their right neighbours come.
            known = min(done, _DELTA_REACH)
            ready = max(known, len(features) - _DELTA_REACH)
            final += Moments.of(features[known:ready])
            yield (final + Moments.of(features[ready:])).cmvn()
            done += ready - known
            tail = tail[(ready - min(done, _DELTA_REACH)) * self.frame_shift :]

    def frames(
        self, wav: Tensor, lengths: Tensor, statistics: Sequence[Any] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute frames; see :class:`Upstream`."""
        # Statistics of a whole utterance come from the very features that they
        # normalise, which spares computing these twice.
        return super().frames(wav, lengths, statistics or [None] * len(wav))

    def _frames(
        self,
        wav: Tensor,
        lengths: Tensor,
        counts: Tensor,
        statistics: Sequence[CMVN | None],
        layers: Sequence[int],
    ) -> list[Tensor]:
        utterances = [
            self._normalize(self._features(x[:n]), known).float()
            for x, n, known in zip(wav, lengths.tolist(), statistics)
        ]
        return [torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)]

    def _normalize(self, features: Tensor, known: CMVN | None) -> Tensor:
        if self.cmvn == "none":
            return features
        if known is None:
            known = Moments.of(features).cmvn()
        return (features - known.mean) / known.deviation

    def _features(self, wav: Tensor) -> Tensor:
        """Return frames (T, 39) of samples (N,), not normalised, float64."""
        from torchaudio.compliance.kaldi import mfcc
        from torchaudio.functional import compute_deltas

        if len(wav) < self.window_size:
            return wav.new_zeros(0, self.dim, dtype=torch.float64)
        cepstra = mfcc(
            wav.double().unsqueeze(0),
            sample_frequency=self.sample_rate,
            num_ceps=_NUM_CEPSTRA,
            use_energy=False,
            dither=0.0,
            frame_length=_WINDOW_MS,
            frame_shift=self._shift_ms,
            snip_edges=True,
        ).T
        deltas = compute_deltas(cepstra)
        return torch.cat([cepstra, deltas, compute_deltas(deltas)]).T
