"""The utterances that a tokenizer is trained on from Python, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from espnet_dsu.audio import AudioError, AudioFile, check_samples, read_audio
from espnet_dsu.errors import DSUError
from espnet_dsu.progress import track
from espnet_dsu.quantizer.frame_sample import is_drawn
from espnet_dsu.scp import read_scp
from espnet_dsu.upstream.blocks import Recording, Waveform
from espnet_dsu.upstream.windows import DEFAULT_WINDOWING


def training_recordings(
    wavs: str | Path | Iterable[np.ndarray], fs: int | None, portion: float, seed: int
) -> Iterator[tuple[str, Recording]]:
    """Yield id and recording of each utterance that a random ``portion`` draws.

    Args:
        wavs: waveforms (N,), whose ids are 0, 1 and so on; or the path of a
            ``wav.scp``, whose unusable files are left out and named in the log.
        fs: sampling rate of the waveforms in Hz; files say their own.
        portion: share of the utterances.
        seed: decides which.

    Raises:
        DSUError: a bad portion, or one that draws nothing; no ``fs``; an array that is
            no waveform.
    """
    number = 0
    if isinstance(wavs, (str, Path)):
        entries = read_scp(wavs)
        names = [name for name in entries if is_drawn(seed, name, portion)]
        for name in track(names, len(names), "reading frames"):
            number += 1
            try:
                yield name, _open(entries[name])
            except AudioError as error:
                logging.warning(f"{name} is left out: {entries[name]}: {error}")
    elif fs is None:
        raise DSUError("fs is None, expected the sampling rate of the waveforms in Hz")
    else:
        for index, wav in enumerate(wavs):
            if is_drawn(seed, str(index), portion):
                number += 1
                check_samples(np.asarray(wav), f"waveform {index}")
                yield str(index), Waveform(torch.as_tensor(wav), fs)
    if not number:
        raise DSUError(
            f"there is nothing to train on: portion {portion} draws no utterance"
        )


def _open(source: str) -> Recording:
    """Read a recording; a long one to its end once, since only that shows damage."""
    file = AudioFile(source)
    if not DEFAULT_WINDOWING.applies_to(file.num_samples, file.fs):
        wav, fs = read_audio(source)
        return Waveform(torch.from_numpy(wav), fs)
    for _ in file.blocks(file.fs):
        pass
    return file
