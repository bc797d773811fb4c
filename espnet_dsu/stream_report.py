"""What a stream of units is worth: latency, agreement, stability, speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.tokenizer import UnitTokenizer


@dataclass(frozen=True)
class StreamReport:
    """How a stream did on one recording.

    Attributes:
        num_frames: of the recording.
        latency_sec: ``UnitStream.latency_sec``; computing not counted.
        agreement: share of the frames whose unit is that of the whole recording
            encoded at once.
        prefix_stability: share of the units given out that encoding the audio heard by
            then, as if it were a whole recording, gives the same as encoding the whole
            recording: what the missing future costs, however a stream is made. NaN
            where the recording ended before anything was given out.
        real_time_factor: computing time per time of audio.
        slowest_hop_sec: longest computing time of one hop.
    """

    num_frames: int
    latency_sec: float
    agreement: float
    prefix_stability: float
    real_time_factor: float
    slowest_hop_sec: float


def measure_stream(
    tokenizer: UnitTokenizer,
    wav: np.ndarray,
    fs: int,
    num_prefixes: int = 10,
    **options: Any,
) -> StreamReport:
    """Stream a recording and compare with encoding it at once.

    Args:
        tokenizer: whose units are wanted.
        wav: (N,) float samples.
        fs: sampling rate in Hz.
        num_prefixes: moments, spread over the recording, at which the audio heard so
            far is encoded; each costs up to one encoding of the whole.
        options: of ``UnitTokenizer.stream``.

    Raises:
        DSUError: a recording that cannot be encoded, or ``num_prefixes`` below 1.
    """
    if num_prefixes < 1:
        raise DSUError(f"num_prefixes is {num_prefixes}, expected 1 or more")
    offline = tokenizer.encode(wav, fs).units
    stream = tokenizer.stream(fs, **options)
    parts: list[np.ndarray] = []
    moments: list[tuple[int, int, int]] = []
    for block in np.array_split(wav, max(1, len(wav) * 100 // fs)):
        first = sum(len(part) for part in parts)
        parts.append(stream.feed(block).units)
        if len(parts[-1]):
            moments.append((stream.num_samples, first, first + len(parts[-1])))
    parts.append(stream.finish().units)
    picked = np.linspace(0, len(moments) - 1, num_prefixes).round().astype(int)
    same = []
    for heard, first, last in [moments[i] for i in np.unique(picked) if moments]:
        then = tokenizer.encode(wav[:heard], fs).units[first:last]
        same.append(_equal(then, offline[first:last]))
    return StreamReport(
        num_frames=len(offline),
        latency_sec=stream.latency_sec,
        agreement=float(_equal(np.concatenate(parts), offline).mean()),
        prefix_stability=float(np.concatenate(same).mean()) if same else float("nan"),
        real_time_factor=stream.real_time_factor,
        slowest_hop_sec=stream.slowest_hop_sec,
    )


def _equal(units: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Say for each frame whether its unit, in every stream, is the same."""
    return (units == others).reshape(len(others), -1).all(axis=1)
