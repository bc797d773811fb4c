"""Bits per second of a unit directory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_dsu.errors import DSUError
from espnet_dsu.units import UnitReader, collapse_units
from espnet_dsu.units.pieces import UnitPieces


@dataclass(frozen=True)
class Bitrates:
    """Bits per second of audio of the units of a set.

    ``challenge``, ``streams`` and ``pieces`` are the bitrate of the Interspeech 2024
    discrete speech unit challenge (Chang et al., 2024): tokens x log2(vocabulary) /
    seconds, summed over the streams and averaged over the utterances, as its scoring
    script does. All tokens cost the same there, and durations nothing: the bits that a
    model reads, from which speech cannot be rebuilt in time.

    ``coded`` is what gives the frame units back: the bits of all runs and all durations
    of the set / seconds of the set, under an ideal code for how often each unit of a
    stream and each duration occurs (empirical entropy of order zero; the tables of
    frequencies themselves are not counted).

    Attributes:
        challenge: where tokens are unit runs, or frame units if repeats are kept; with
            several streams, a run ends where any stream changes.
        streams: the part of ``challenge`` that each stream has.
        pieces: where tokens are unit pieces; None without pieces.
        coded: of runs and durations.
        coded_durations: the part of ``coded`` that durations take.
    """

    challenge: float
    streams: tuple[float, ...]
    pieces: float | None
    coded: float
    coded_durations: float


def unit_bitrates(
    directory: str | Path, pieces: UnitPieces | None = None, collapse: bool = True
) -> Bitrates:
    """Measure a unit directory.

    Args:
        directory: of the units; utterances without any are not counted.
        pieces: what the units are split into for a model.
        collapse: a model reads unit runs; else one unit for each frame.

    Raises:
        DSUError: The directory holds no units, or pieces are given for several streams.
    """
    reader = UnitReader(Path(directory) / "units.scp")
    spec = reader.spec
    if pieces is not None and spec.num_streams > 1:
        raise DSUError(f"{directory} has {spec.num_streams} streams; pieces have one")
    units_seen = [np.zeros(size, dtype=np.int64) for size in spec.vocab_sizes]
    durations_seen: Counter[int] = Counter()
    rows = []
    for units in filter(len, reader.values()):
        runs, durations = collapse_units(units.reshape(len(units), -1))
        for seen, stream in zip(units_seen, runs.T):
            seen += np.bincount(stream, minlength=len(seen))
        durations_seen.update(durations.tolist())
        read = 0 if pieces is None else len(pieces.encode(runs[:, 0]))
        rows.append((len(units), len(runs) if collapse else len(units), read))
    if not rows:
        raise DSUError(f"{directory} holds no unit, expected at least one utterance")
    frames, unit_tokens, piece_tokens = np.array(rows).T
    seconds = frames * spec.frame_shift / spec.sample_rate
    of_units = sum(map(_ideal_bits, units_seen)) / seconds.sum()
    of_durations = _ideal_bits(np.array([*durations_seen.values()])) / seconds.sum()
    streams = [_mean_rate(unit_tokens, size, seconds) for size in spec.vocab_sizes]
    return Bitrates(
        sum(streams),
        tuple(streams),
        None if pieces is None else _mean_rate(piece_tokens, len(pieces), seconds),
        float(of_units + of_durations),
        float(of_durations),
    )


def _mean_rate(tokens: np.ndarray, vocab_size: int, seconds: np.ndarray) -> float:
    return float((tokens * math.log2(vocab_size) / seconds).mean())


def _ideal_bits(counts: np.ndarray) -> float:
    """Return the bits of symbols under an ideal code for how often each occurs."""
    seen = counts[counts > 0].astype(np.float64)
    return float((seen * np.log2(seen.sum() / seen)).sum())
