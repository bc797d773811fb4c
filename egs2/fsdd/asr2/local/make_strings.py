#!/usr/bin/env python3
"""Digit strings from the Free Spoken Digit Dataset: data/{train,valid,test}.

Each string joins 3 to 7 recordings of one speaker, with 50 to 150 ms of faint noise
before, between and after them. Recordings 0-4 of each digit and speaker (the corpus's
official test split) go to test, the five highest indices to valid, the rest to train,
so that no recording is in two sets. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from espnet_dsu.audio import AudioError, read_audio, write_audio
from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.datadir import begin_output, validate, write_tables
from espnet_dsu.errors import DSUError

WORDS = "zero one two three four five six seven eight nine".split()
FS = 8000
MIN_DIGITS, MAX_DIGITS = 3, 7
MIN_GAP_SEC, MAX_GAP_SEC = 0.05, 0.15
# The standard deviation of the noise, where full scale is 1: about -80 dB, so that
# gaps are nearly silent without being the exact zeros that no microphone gives.
NOISE_AMPLITUDE = 1e-4
NUM_TEST = NUM_VALID = 5  # recordings of each digit and speaker

# (digit, speaker) -> index -> file
Recordings = dict[tuple[int, str], dict[int, Path]]


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--fsdd", required=True, help="unpacked corpus: the folder with recordings/")
    add("--wav_dir", default="downloads/fsdd_strings", help="where the audio goes")
    add("--data_dir", default="data", help="where train/, valid/ and test/ go")
    add("--num_train", type=int, default=3000, help="number of training strings")
    add("--num_valid", type=int, default=200, help="number of validation strings")
    add("--num_test", type=int, default=1000, help="number of test strings")
    add("--seed", type=int, default=0, help="seed of everything that is drawn")
    return parser


def find_recordings(fsdd: str | Path) -> Recordings:
    """List ``<digit>_<speaker>_<index>.wav`` below ``fsdd``.

    Raises:
        DSUError: no recordings/ folder, or a file in it has another name.
    """
    folders = sorted(Path(fsdd).rglob("recordings"))
    if len(folders) != 1:
        raise DSUError(
            f"{fsdd}: {len(folders)} folders named recordings/ where one was expected; "
            "FSDD in db.sh names the corpus's folder or .tar.gz"
        )
    found: Recordings = {}
    odd = []
    for path in sorted(folders[0].glob("[!.]*")):
        match = re.fullmatch(r"([0-9])_([A-Za-z]+)_([0-9]+)\.wav", path.name)
        if match is None:
            odd.append(path.name)
            continue
        recordings = found.setdefault((int(match[1]), match[2]), {})
        recordings[int(match[3])] = path
    if odd:
        raise DSUError(
            f"{folders[0]}: {len(odd)} files ({', '.join(odd[:3])}) are not named "
            "<digit>_<speaker>_<index>.wav; remove or rename them"
        )
    return found


def check_complete(found: Recordings) -> None:
    """Raise DSUError unless every speaker has the same indices of every digit."""
    speakers = sorted({speaker for _, speaker in found})
    indices = {index for recordings in found.values() for index in recordings}
    missing = [
        f"{digit}_{speaker}_{index}.wav"
        for digit in range(10)
        for speaker in speakers
        for index in sorted(indices)
        if index not in found.get((digit, speaker), {})
    ]
    if missing:
        raise DSUError(
            f"{len(missing)} recordings are missing ({', '.join(missing[:3])}, ...); "
            "unpack the corpus again"
        )
    if not indices >= set(range(NUM_TEST)) or len(indices) <= NUM_TEST + NUM_VALID:
        raise DSUError(
            f"recordings {sorted(indices)}: expected 0 to {NUM_TEST - 1} for test, and "
            f"more than {NUM_VALID} others for train and valid"
        )


def load(path: Path) -> np.ndarray:
    """Return the samples (N,) of a recording."""
    try:
        wav, fs = read_audio(str(path))
    except AudioError as error:
        raise DSUError(f"{path}: {error}; unpack the corpus again") from None
    if fs != FS:
        raise DSUError(f"{path}: {fs} Hz where {FS} Hz was expected; resample it")
    return wav


def choose_indices(found: Recordings) -> dict[str, list[int]]:
    """Return the recordings' indices that each set uses."""
    indices = sorted(next(iter(found.values())))
    return {
        "train": indices[NUM_TEST:-NUM_VALID],
        "valid": indices[-NUM_VALID:],
        "test": indices[:NUM_TEST],
    }


def make_string(
    takes: list[list[np.ndarray]], rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    """Draw a string from a speaker's takes of each digit; return samples and words."""

    def gap() -> np.ndarray:
        length = round(rng.uniform(MIN_GAP_SEC, MAX_GAP_SEC) * FS)
        return NOISE_AMPLITUDE * rng.standard_normal(length, dtype=np.float32)

    digits = rng.integers(10, size=rng.integers(MIN_DIGITS, MAX_DIGITS + 1))
    parts = [gap()]
    for digit in digits:
        parts += [takes[digit][rng.integers(len(takes[digit]))], gap()]
    return np.concatenate(parts), " ".join(WORDS[digit] for digit in digits)


def make_set(
    name: str,
    takes: dict[str, list[list[np.ndarray]]],
    count: int,
    args: argparse.Namespace,
) -> None:
    """Write ``count`` strings, speakers in turn, and their data directory."""
    # A generator per set: the size of one does not change the others.
    rng = np.random.default_rng([args.seed, ["train", "valid", "test"].index(name)])
    directory = Path(args.data_dir) / name
    begin_output(directory)
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    speakers = sorted(takes)
    for number in tqdm(range(count), desc=f"{name} strings", disable=None):
        speaker = speakers[number % len(speakers)]
        utt = f"{speaker}-{name}-{number:04d}"
        path = Path(args.wav_dir) / name / f"{utt}.wav"
        wav, tables["text"][utt] = make_string(takes[speaker], rng)
        write_audio(path, wav, FS)
        tables["wav.scp"][utt] = str(path)
        tables["utt2spk"][utt] = speaker
    write_tables(directory, tables)
    validate(directory)
    logging.info(f"{directory}: {count} strings by {len(speakers)} speakers")


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    counts = {n: getattr(args, f"num_{n}") for n in ("train", "valid", "test")}
    if min(counts.values()) < 1:
        raise DSUError(f"{counts}: expected at least one string in every set")
    found = find_recordings(args.fsdd)
    check_complete(found)
    speakers = sorted({speaker for _, speaker in found})
    # All is loaded before anything is written, so bad recordings leave nothing behind.
    wavs = {path: load(path) for files in found.values() for path in files.values()}
    for name, indices in choose_indices(found).items():
        takes = {
            speaker: [[wavs[found[d, speaker][i]] for i in indices] for d in range(10)]
            for speaker in speakers
        }
        make_set(name, takes, counts[name], args)


if __name__ == "__main__":
    run(main)
