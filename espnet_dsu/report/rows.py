"""What a page shows of an utterance: its clips, measured, drawn and playable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from espnet_dsu.audio import AudioError, read_audio
from espnet_dsu.metrics.mel_distance import mel_distance
from espnet_dsu.metrics.signal import signal_measures
from espnet_dsu.report.assets import Assets
from espnet_dsu.report.columns import Column
from espnet_dsu.report.pictures import (
    hz_to_mel,
    mel_decibels,
    mel_pixels,
    unit_pixels,
)
from espnet_dsu.units.files import UnitReader

_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)
_MOST_TIME_TICKS = 6


@dataclass(frozen=True)
class Sound:
    """Samples (N,) in [-1, 1] at ``fs`` Hz."""

    wav: np.ndarray
    fs: int

    @property
    def duration_sec(self) -> float:
        """How long it lasts."""
        return len(self.wav) / self.fs


@dataclass(frozen=True)
class Clip:
    """A cell: an address per file, or the ``problem`` that left it empty.

    ``width`` is the share of the row's time axis, in percent.
    """

    column: str
    speaker: str
    problem: str = ""
    sound: str = ""
    picture: str = ""
    width: float = 0.0
    duration_sec: float = 0.0
    measures: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class UnitBand:
    """The units of an utterance in colours, and what they are in numbers."""

    picture: str
    frames: int
    runs: int
    streams: int
    shift_ms: float


@dataclass(frozen=True)
class Row:
    """An utterance; ticks are (place in percent, text) of the shared axes."""

    name: str
    text: str
    clips: list[Clip]
    units: UnitBand | None
    time_ticks: list[tuple[float, str]]
    frequency_ticks: list[tuple[float, str]]
    top_hz: float


def make_row(
    name: str,
    text: str,
    columns: Sequence[Column],
    units: UnitReader | None,
    assets: Assets,
) -> Row:
    """Read, measure, draw and copy every clip of an utterance."""
    read = [_read(column, name) for column in columns]
    sounds = [sound for sound in read if isinstance(sound, Sound)]
    longest = max((sound.duration_sec for sound in sounds), default=1.0)
    top_hz = max((sound.fs for sound in sounds), default=16000) / 2
    # One scale for the row: the same times, frequencies and levels in each picture.
    mels = [mel_decibels(sound.wav, sound.fs, top_hz) for sound in sounds]
    loudest = max((float(mel.max()) for mel in mels), default=0.0)
    pictures = iter([mel_pixels(mel, loudest) for mel in mels])
    clips = []
    for column, sound in zip(columns, read):
        clip = Clip(column.name, column.speakers.get(name, ""))
        if isinstance(sound, str):
            clips.append(replace(clip, problem=sound))
            continue
        stem = f"{name}-{column.name}"
        clip = replace(
            clip,
            sound=assets.add_sound(stem, sound.wav, sound.fs),
            picture=assets.add_picture(stem, next(pictures)),
            width=100 * sound.duration_sec / longest,
            duration_sec=sound.duration_sec,
            measures=_measures(sound, read[0]),
        )
        clips.append(clip)
    band = _band(name, units, assets) if units is not None else None
    axes = _time_ticks(longest), _frequency_ticks(top_hz), top_hz
    return Row(name, text, clips, band, *axes)


def _band(name: str, units: UnitReader, assets: Assets) -> UnitBand | None:
    """Draw the frame units of an utterance; None where it has none."""
    frames = units.get(name)
    if frames is None:
        return None
    rows = frames.reshape(len(frames), -1)
    runs = 1 + int((rows[1:] != rows[:-1]).any(axis=1).sum()) if len(rows) else 0
    picture = assets.add_picture(f"{name}-units", unit_pixels(frames))
    shift_ms = 1000 * units.spec.frame_shift / units.spec.sample_rate
    return UnitBand(picture, len(rows), runs, rows.shape[1], shift_ms)


def _read(column: Column, name: str) -> Sound | str:
    """Return the sound of a cell, or why there is none."""
    if name not in column.wavs:
        return "not made for this utterance"
    try:
        return Sound(*read_audio(column.wavs[name]))
    except AudioError as error:
        logging.warning(f"{name}, {column.name}: {column.wavs[name]}: {error}")
        return f"cannot be read: {error}"


def _measures(sound: Sound, first: Sound | str) -> tuple[tuple[str, str, str], ...]:
    """Return (name, value, meaning) of what can be told without listening."""
    signal = signal_measures(sound.wav)
    measures = [
        ("peak", f"{signal.peak:.2f}", "greatest sample; 1 is full scale"),
        (
            "level",
            f"{signal.rms_db:.1f} dB".replace("-", "−"),
            "root mean square below full scale",
        ),
        ("clipped", f"{100 * signal.clipping:.2f} %", "share of samples at full scale"),
        ("silent", f"{100 * signal.silence:.0f} %", "share of time without sound"),
    ]
    if isinstance(first, Sound) and first is not sound:
        # Aligned: predicted durations would else count as a wrong sound.
        wav = _at_rate(sound, first.fs)
        distance = mel_distance(first.wav, wav, first.fs, align=True)
        meaning = "log-mel distance to the first column, aligned in time"
        measures.append(("mel distance", f"{distance:.2f}", meaning))
    return tuple(measures)


def _at_rate(sound: Sound, fs: int) -> np.ndarray:
    if sound.fs == fs:
        return sound.wav
    import torch

    from espnet_dsu.upstream.resampling import resample

    return resample(torch.from_numpy(sound.wav), sound.fs, fs).numpy()


def _time_ticks(longest_sec: float) -> list[tuple[float, str]]:
    """Return round times; as many as fit beside each other."""
    scale = (0.1 * 10**power * step for power in range(6) for step in (1, 2, 5))
    step = next(s for s in scale if longest_sec / s <= _MOST_TIME_TICKS)
    times = np.arange(0, longest_sec + 1e-9, step)
    return [(100 * time / longest_sec, f"{time:g}") for time in np.round(times, 3)]


def _frequency_ticks(top_hz: float) -> list[tuple[float, str]]:
    top = float(hz_to_mel(top_hz))
    shown = [hz for hz in _TICKS_HZ if hz <= top_hz]
    return [(100 * float(hz_to_mel(hz)) / top, f"{hz / 1000:g}") for hz in shown]
