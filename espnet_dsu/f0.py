"""Fundamental frequency (F0): of a waveform, and of a corpus at its units' clock."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from espnet_dsu.audio import AudioError, check_samples, read_audio
from espnet_dsu.errors import DSUError
from espnet_dsu.parallel import in_processes
from espnet_dsu.progress import track
from espnet_dsu.scp import read_scp, write_scp, write_tsv
from espnet_dsu.units.files import UnitReader, atomic_path, write_entry

F0_METHODS = ("pyworld", "librosa")
F0_MIN, F0_MAX = 60.0, 500.0


def extract_f0(
    wav: np.ndarray,
    fs: int,
    frame_shift_sec: float,
    num_frames: int | None = None,
    method: str = "pyworld",
    f0_min: float = F0_MIN,
    f0_max: float = F0_MAX,
) -> np.ndarray:
    """Return F0 (T,) in Hz, float32, 0 where unvoiced; frame t is at (t + 0.5) shifts.

    Args:
        wav: (N,) float samples at ``fs``.
        frame_shift_sec: distance of two frames.
        num_frames: T; frames beyond the recording are unvoiced. None: as many as
            begin in the recording.
        method: ``pyworld`` is DIO with StoneMask (Morise et al., 2009, 2016), as in
            ESPnet's TTS; ``librosa`` is pYIN (Mauch & Dixon, 2014), a hundred times
            slower.
        f0_min, f0_max: range of F0 in Hz.

    Raises:
        DSUError: no mono float waveform, an unknown or missing method, a bad range.
    """
    check_samples(wav, "the waveform")
    _check_options(fs, method, f0_min, f0_max)
    samples = wav.astype(np.float64)
    if num_frames is None:
        num_frames = int(np.ceil(len(wav) / fs / frame_shift_sec - 1e-6))
    trackers = {"pyworld": _dio, "librosa": _pyin}
    # Two values a frame, the second of which is at its middle.
    f0, period = trackers[method](samples, fs, frame_shift_sec / 2, f0_min, f0_max)
    middles = (np.arange(num_frames) + 0.5) * frame_shift_sec
    nearest = np.round(middles / period).astype(int)
    inside = nearest < len(f0)
    track_hz = np.where(inside, f0[np.minimum(nearest, len(f0) - 1)], 0.0)
    return np.where(track_hz > 0, track_hz.clip(f0_min, f0_max), 0).astype(np.float32)


def _check_options(fs: int, method: str, f0_min: float, f0_max: float) -> None:
    if not 0 < f0_min < f0_max < fs / 2:
        raise DSUError(
            f"F0 from {f0_min} to {f0_max} Hz: expected 0 < f0_min < f0_max < "
            f"{fs / 2}, half the sample rate"
        )
    if method not in F0_METHODS:
        raise DSUError(f"F0 method {method!r}: expected {' or '.join(F0_METHODS)}")


def require_package(name: str, remedy: str) -> ModuleType:
    """Import a package that may be missing; ``remedy`` names what needs it not.

    Raises:
        DSUError: it is missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DSUError(
            f"{name} cannot be imported ({error}); `pip install {name}`, or {remedy}"
        ) from error


def _dio(
    wav: np.ndarray, fs: int, period: float, f0_min: float, f0_max: float
) -> tuple[np.ndarray, float]:
    """Return F0 every ``period`` seconds from 0 on, by WORLD; and the period."""
    world = require_package("pyworld", "choose the method librosa")
    f0, times = world.dio(
        wav, fs, f0_floor=f0_min, f0_ceil=f0_max, frame_period=1000 * period
    )
    return world.stonemask(wav, f0, times, fs), period


def _pyin(
    wav: np.ndarray, fs: int, period: float, f0_min: float, f0_max: float
) -> tuple[np.ndarray, float]:
    """Return F0 about every ``period`` seconds from 0 on; and the true period."""
    librosa = require_package("librosa", "choose the method pyworld")
    hop = max(1, round(period * fs))
    # Two periods of the lowest F0 fit the half of a frame that pYIN correlates.
    frame = round(4 * fs / f0_min)
    f0, _, _ = librosa.pyin(
        wav,
        sr=fs,
        fmin=f0_min,
        fmax=f0_max,
        frame_length=frame,
        hop_length=hop,
        pad_mode="constant",
    )
    return np.nan_to_num(f0), hop / fs


@dataclass(frozen=True)
class F0Options:
    """How to find F0: the arguments of :func:`extract_f0`."""

    frame_shift_sec: float
    method: str = "pyworld"
    f0_min: float = F0_MIN
    f0_max: float = F0_MAX

    def __call__(self, item: tuple[str, str, int]) -> tuple[str, np.ndarray | str]:
        """Turn (utterance, audio, frames) into (utterance, F0 or what was wrong)."""
        utt, source, num_frames = item
        try:
            wav, fs = read_audio(source)
        except AudioError as error:
            return utt, str(error)
        return utt, extract_f0(
            wav,
            fs,
            self.frame_shift_sec,
            num_frames,
            self.method,
            self.f0_min,
            self.f0_max,
        )


def extract_f0_corpus(
    wav_scp: str | Path,
    units_scp: str | Path,
    output_dir: str | Path,
    nj: int = 1,
    method: str = "pyworld",
    f0_min: float = F0_MIN,
    f0_max: float = F0_MAX,
) -> int:
    """Write ``f0.{ark,scp}``, one value for each frame of units; return how many.

    Values are float32 (T,), see :func:`extract_f0`. ``f0.scp`` is written last.
    Utterances whose audio is unusable are named in ``failed.tsv`` (id, file, reason).

    Args:
        wav_scp: audio of all utterances of ``units_scp``, in a unit directory.
        nj: number of processes; the others are as for :func:`extract_f0`.

    Raises:
        DSUError: an utterance has no audio, or none of the audio is usable.
    """
    output_dir = Path(output_dir)
    units, audio = UnitReader(units_scp), read_scp(wav_scp)
    _check_ids(units.keys() - audio.keys(), wav_scp, units_scp)
    items = [(utt, audio[utt], len(units[utt])) for utt in units]
    shift_sec = units.spec.frame_shift / units.spec.sample_rate
    options = F0Options(shift_sec, method, f0_min, f0_max)
    results = track(in_processes(options, items, nj), len(items), "F0")
    failed: list[tuple[str, str, str]] = []
    (output_dir / "f0.scp").unlink(missing_ok=True)
    places = _write_ark(output_dir / "f0.ark", results, audio, failed)
    write_tsv(output_dir / "failed.tsv", failed)
    for utt, *why in failed:
        logging.warning(f"{utt} has no F0: {': '.join(why)}")
    if not places:
        raise DSUError(
            f"{wav_scp}: no utterance is usable; see {output_dir}/failed.tsv"
        )
    write_scp(output_dir / "f0.scp", places)
    logging.info(f"F0 of {len(places)} utterances, {len(failed)} failed")
    return len(places)


def _check_ids(missing: set[str], wav_scp: str | Path, units_scp: str | Path) -> None:
    if missing:
        raise DSUError(
            f"{wav_scp} lacks {len(missing)} of the utterances of {units_scp}, such as "
            f"{min(missing)}; expected audio of them all"
        )


def _write_ark(
    ark: Path,
    results: Iterator[tuple[str, np.ndarray | str]],
    audio: dict[str, str],
    failed: list[tuple[str, str, str]],
) -> dict[str, str]:
    """Write F0 into ``ark``; return where each utterance is, and add to ``failed``."""
    places = {}
    with atomic_path(ark) as temporary, open(temporary, "wb") as f:
        for utt, f0 in results:
            if isinstance(f0, str):
                failed.append((utt, audio[utt], f0))
                continue
            places[utt] = write_entry(f, ark, utt, f0)
    return places
