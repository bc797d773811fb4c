"""Batches for the unit vocoder: durations first, then waveforms."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_dsu.inference.request import Manner, Utterance
from espnet_dsu.inference.timing import follow_durations, scale_durations
from espnet_dsu.models.vocoder import Conditions, UnitVocoder
from espnet_dsu.units.sequence import expand_runs

DEFAULT_BATCH_SEC = 60.0


@dataclass(frozen=True)
class Speech:
    """What was spoken.

    Attributes:
        wav: (N,) float32.
        durations: (R,) of the unit runs, as spoken.
        compute_sec: its share of the time that its batches took.
    """

    wav: np.ndarray
    durations: np.ndarray
    compute_sec: float


@torch.inference_mode()
def speak(
    vocoder: UnitVocoder,
    utterances: Sequence[Utterance],
    manner: Manner,
    batch_sec: float = DEFAULT_BATCH_SEC,
) -> list[Speech]:
    """Speak utterances, those of like length together.

    Args:
        vocoder: in evaluation mode.
        utterances: prepared for this vocoder in this manner.
        manner: how to speak all of them.
        batch_sec: seconds computed at a time, padding included; a longer utterance is
            computed alone.
    """
    limit = batch_sec * vocoder.fs / vocoder.upsample
    clock = np.zeros(len(utterances))
    timed = _with_durations(vocoder, utterances, manner, limit, clock)
    lengths = [int(durations.sum()) for durations, _ in timed]
    wavs: dict[int, np.ndarray] = {}
    for pitched in (True, False):  # a batch follows F0, or predicts it
        chosen = [i for i, (_, f0) in enumerate(timed) if (f0 is not None) is pitched]
        for batch in cut_batches({i: lengths[i] for i in chosen}, limit):
            with _shared(clock, {i: lengths[i] for i in batch}):
                frames = [expand_runs(utterances[i].runs, timed[i][0]) for i in batch]
                given = _conditions(
                    [utterances[i] for i in batch], [timed[i][1] for i in batch]
                )
                wav = vocoder(*_moved(vocoder, frames, given), manner.streams)
                made = wav.float().cpu().numpy()
            for i, wav in zip(batch, made):
                wavs[i] = wav[: lengths[i] * vocoder.upsample].copy()
    return [
        Speech(wavs[i], durations, float(clock[i]))
        for i, (durations, _) in enumerate(timed)
    ]


def cut_batches(lengths: Mapping[int, int], limit: float) -> Iterator[list[int]]:
    """Cut indices into batches of like length, at most ``limit`` with padding."""
    batch: list[int] = []
    for index in sorted(lengths, key=lambda i: -lengths[i]):
        longest = lengths[batch[0]] if batch else 0
        if batch and (len(batch) + 1) * longest > limit:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _with_durations(
    vocoder: UnitVocoder,
    utterances: Sequence[Utterance],
    manner: Manner,
    limit: float,
    clock: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Give durations (R,) as they will be spoken, and F0 that goes along."""
    predicted = _predict_durations(vocoder, utterances, manner, limit, clock)
    found: list[tuple[np.ndarray, np.ndarray | None]] = []
    for index, utterance in enumerate(utterances):
        durations = predicted.get(index, utterance.durations)
        assert durations is not None  # else they were to be predicted
        if manner.length_scale != 1:
            durations = scale_durations(durations, manner.length_scale)
        f0 = utterance.f0
        if f0 is not None and utterance.durations is not None:
            f0 = follow_durations(f0, utterance.durations, durations)
        found.append((durations, f0))
    return found


def _predict_durations(
    vocoder: UnitVocoder,
    utterances: Sequence[Utterance],
    manner: Manner,
    limit: float,
    clock: np.ndarray,
) -> dict[int, np.ndarray]:
    lengths = {i: len(u.runs) for i, u in enumerate(utterances) if u.predict}
    found: dict[int, np.ndarray] = {}
    for batch in cut_batches(lengths, limit):
        with _shared(clock, {i: lengths[i] for i in batch}):
            chosen = [utterances[i] for i in batch]
            runs, given = [u.runs for u in chosen], _conditions(chosen)
            made = vocoder.predict_durations(
                *_moved(vocoder, runs, given), manner.streams
            )
            durations = made.cpu().numpy()
        found.update((i, d[: lengths[i]]) for i, d in zip(batch, durations))
    return found


def _moved(
    vocoder: UnitVocoder, sequences: Sequence[np.ndarray], given: Conditions
) -> tuple[torch.Tensor, torch.Tensor, Conditions]:
    """Pad units (T, S) to (B, T) or (B, T, S), with lengths; all on the device."""
    device = next(vocoder.parameters()).device
    padded = pad_sequence([torch.from_numpy(s) for s in sequences], batch_first=True)
    units = padded.squeeze(2) if padded.shape[2] == 1 else padded
    lengths = torch.tensor([len(s) for s in sequences])
    return units.to(device), lengths.to(device), given.to(device)


def _conditions(
    utterances: Sequence[Utterance], f0: Sequence[np.ndarray | None] = ()
) -> Conditions:
    """Stack what the utterances, which all have the same, are spoken with."""
    spembs = [u.spemb for u in utterances if u.spemb is not None]
    pitch = [torch.from_numpy(values) for values in f0 if values is not None]
    return Conditions(
        sids=_ids([u.sid for u in utterances]),
        styles=_ids([u.style for u in utterances]),
        spembs=torch.from_numpy(np.stack(spembs)) if spembs else None,
        f0=pad_sequence(pitch, batch_first=True) if pitch else None,
    )


def _ids(ids: Sequence[int | None]) -> torch.Tensor | None:
    known = [number for number in ids if number is not None]
    return torch.tensor(known) if known else None


@contextmanager
def _shared(clock: np.ndarray, weights: Mapping[int, int]) -> Iterator[None]:
    """Add the time of a block to the clocks of its utterances, by their lengths."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    total = sum(weights.values())
    for index, weight in weights.items():
        clock[index] += seconds * weight / total
