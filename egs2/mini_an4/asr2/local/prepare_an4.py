#!/usr/bin/env python3
"""Mini AN4 as data directories: data/{train_nodev,train_dev,test,test_seg}.

The corpus has ``etc/an4_{train,test}.transcription`` and ``wav/an4{,test}_clstk/
<speaker>/<name>.sph``, which are read as they are. The first training utterance is
train_dev, the others are train_nodev, as in ESPnet's recipe. test_seg holds the
utterances of test as segments of recordings.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from espnet_dsu.audio import AudioError, audio_info
from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.datadir import begin_output, validate, write_tables
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table

FOLDERS = {"train": "an4_clstk", "test": "an4test_clstk"}
LINE = re.compile(r"(?:<s> )?(?P<words>.*?)(?: </s>)? \((\w+)-(\w+)-(\w+)\)")
NUM_DEV = 1  # training utterances set apart for validation

Tables = dict[str, Table]


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--an4", required=True, help="unpacked corpus: the folder with an4/")
    add("--data_dir", default="data", help="where the four sets go")
    return parser


def find_root(folder: str | Path) -> Path:
    """Return the folder that holds etc/ and wav/.

    Raises:
        DSUError: there is none, or several.
    """
    found = sorted(Path(folder).rglob("etc/an4_train.transcription"))
    if len(found) != 1:
        raise DSUError(
            f"{folder}: {len(found)} files etc/an4_train.transcription where one was "
            "expected; MINI_AN4 in db.sh names the corpus's folder or .tar.gz"
        )
    return found[0].parents[1]


def read_part(root: Path, part: str) -> Tables:
    """Return the tables of ``train`` or ``test``, sorted by utterance.

    Utterances are named ``<speaker>-<prompt>-<take>``.

    Raises:
        DSUError: the transcription is missing or has a line of another form.
    """
    path = root / f"etc/an4_{part}.transcription"
    if not path.is_file():
        raise DSUError(f"{path}: not found; unpack the corpus again")
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise DSUError(
                f"{path}:{number}: {line!r}: expected `words (prompt-speaker-take)`"
            )
        words, (prompt, speaker, take) = match["words"], match.groups()[1:]
        name = f"{speaker}/{prompt}-{speaker}-{take}.sph"
        wav = root / "wav" / FOLDERS[part] / name
        rows.append((f"{speaker}-{prompt}-{take}", speaker, words, str(wav)))
    rows.sort()
    return {
        "text": {utt: words for utt, _, words, _ in rows},
        "utt2spk": {utt: speaker for utt, speaker, _, _ in rows},
        "wav.scp": {utt: wav for utt, _, _, wav in rows},
    }


def as_segments(tables: Tables) -> Tables:
    """Return the same utterances as segments, each the whole of a recording."""
    segments = {}
    for utt, wav in tables["wav.scp"].items():
        samples, fs, _ = audio_info(wav)
        segments[utt] = f"{utt}_org 0.0 {samples / fs:.3f}"
    recordings = {f"{utt}_org": wav for utt, wav in tables["wav.scp"].items()}
    return {**tables, "segments": segments, "wav.scp": recordings}


def split(tables: Tables) -> tuple[Tables, Tables]:
    """Return the first ``NUM_DEV`` utterances and the others."""
    utterances = list(tables["wav.scp"])
    if len(utterances) <= NUM_DEV:
        raise DSUError(
            f"{len(utterances)} training utterances, expected more than {NUM_DEV}"
        )
    dev, rest = (
        {name: {utt: table[utt] for utt in part} for name, table in tables.items()}
        for part in (utterances[:NUM_DEV], utterances[NUM_DEV:])
    )
    return dev, rest


def check_audio(tables: Tables) -> None:
    """Raise DSUError, naming the first, where recordings cannot be used."""
    bad = {}
    for wav in tables["wav.scp"].values():
        try:
            audio_info(wav)
        except AudioError as error:
            bad[wav] = error
    if bad:
        first, reason = next(iter(bad.items()))
        raise DSUError(f"{len(bad)} recordings cannot be used; first {first}: {reason}")


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    root = find_root(args.an4)
    train, test = read_part(root, "train"), read_part(root, "test")
    # All is looked at before anything is written: of eight utterances none may miss.
    check_audio(train)
    check_audio(test)
    dev, rest = split(train)
    sets = {"train_nodev": rest, "train_dev": dev, "test": test}
    for name, tables in {**sets, "test_seg": as_segments(test)}.items():
        directory = Path(args.data_dir) / name
        begin_output(directory)
        write_tables(directory, tables)
        validate(directory)
        logging.info(f"{directory}: {len(tables['text'])} utterances")


if __name__ == "__main__":
    run(main)
