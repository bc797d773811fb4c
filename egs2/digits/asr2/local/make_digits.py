#!/usr/bin/env python3
"""Spoken digit strings by espeak-ng: data/{train,valid,test}, with no download.

Speakers are combinations of an espeak-ng voice (accent) and a variant (vocal tract);
pitch and speed vary from string to string. A digit string belongs to one set only. The
same options give the same bytes.
"""

from __future__ import annotations

import argparse
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from espeak import espeak
from tqdm import tqdm

from espnet_dsu.audio import write_audio
from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.datadir import begin_output, validate, write_tables
from espnet_dsu.errors import DSUError

WORDS = {
    "en": "zero one two three four five six seven eight nine".split(),
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve".split(),
}
# `en` is espeak-ng's name for British English.
VOICES = {"en": ("en-us", "en", "en-gb-scotland"), "es": ("es", "es-419")}
VARIANTS = ("m1", "m3", "m7", "f1", "f2", "f4")
MIN_DIGITS, MAX_DIGITS = 3, 7
PITCHES = (30, 70)  # from, to; of 0-100, where 50 is the voice's own
RATES = (120, 190)  # from, to; words per minute
# Of 100 strings of digits, how many are set aside for each set.
SHARES = {"train": 80, "valid": 10, "test": 10}


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--lang", choices=("en", "es", "both"), default="en", help="language spoken")
    add("--wav_dir", default="downloads/digits", help="where the audio goes")
    add("--data_dir", default="data", help="where train/, valid/ and test/ go")
    add("--num_train", type=int, default=1500, help="number of training strings")
    add("--num_valid", type=int, default=100, help="number of validation strings")
    add("--num_test", type=int, default=200, help="number of test strings")
    add("--seed", type=int, default=0, help="seed of everything that is drawn")
    return parser


def owner(digits: str) -> str:
    """Return the set to which a digit string belongs, whatever the seed."""
    point = zlib.crc32(digits.encode()) % sum(SHARES.values())
    for name, share in SHARES.items():
        if point < share:
            return name
        point -= share
    raise AssertionError("shares cover every point")


def draw_digits(name: str, rng: np.random.Generator) -> str:
    """Draw a digit string that belongs to the set ``name``."""
    while True:
        length = rng.integers(MIN_DIGITS, MAX_DIGITS + 1)
        digits = "".join(str(digit) for digit in rng.integers(10, size=length))
        if owner(digits) == name:
            return digits


def list_speakers(lang: str) -> list[tuple[str, str]]:
    """Return (language, voice) of every speaker, languages in turn where both."""
    languages = list(WORDS) if lang == "both" else [lang]
    columns = [
        [(language, f"{voice}+{v}") for v in VARIANTS for voice in VOICES[language]]
        for language in languages
    ]
    return [speaker for row in zip(*columns) for speaker in row]


def make_set(name: str, count: int, args: argparse.Namespace) -> None:
    """Write ``count`` strings, speakers in turn, and their data directory."""
    # A generator per set: the draws of one do not depend on the size of another.
    rng = np.random.default_rng([args.seed, list(SHARES).index(name)])
    engine = espeak()
    directory = Path(args.data_dir) / name
    begin_output(directory)
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    speakers = list_speakers(args.lang)
    for number in tqdm(range(count), desc=f"{name} strings", disable=None):
        language, voice = speakers[number % len(speakers)]
        words = [WORDS[language][int(digit)] for digit in draw_digits(name, rng)]
        pitch, rate = rng.integers(*PITCHES), rng.integers(*RATES)
        speaker = voice.replace("-", "").replace("+", "_")
        utt = f"{speaker}-{name}-{number:04d}"
        path = Path(args.wav_dir) / name / f"{utt}.wav"
        wav = engine.synthesize(" ".join(words), voice, int(pitch), int(rate))
        write_audio(path, wav, engine.sample_rate)
        tables["wav.scp"][utt] = str(path)
        tables["text"][utt] = " ".join(words)
        tables["utt2spk"][utt] = speaker
    write_tables(directory, tables)
    validate(directory)
    used = len(set(tables["utt2spk"].values()))
    logging.info(f"{directory}: {count} strings by {used} speakers")


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    counts = {name: getattr(args, f"num_{name}") for name in SHARES}
    if min(counts.values()) < 1:
        raise DSUError(f"{counts}: expected at least one string in every set")
    for name, count in counts.items():
        make_set(name, count, args)


if __name__ == "__main__":
    run(main)
