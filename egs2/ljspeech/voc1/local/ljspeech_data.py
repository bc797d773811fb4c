#!/usr/bin/env python3
"""LJSpeech 1.1 (https://keithito.com/LJ-Speech-Dataset) as data directories.

Sets, as in ESPnet's recipe: of the utterances sorted by name, the last --num_eval are
eval1, the --num_dev before them dev, all others tr_no_dev. Text: the words of the
normalized one, in upper case. The corpus is the folder or archive named by --corpus,
or is downloaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from archives import Release, find_corpus
from espnet2.utils.types import str2bool
from paired_data import (
    PARTIAL_HELP,
    Tables,
    choose,
    expect_count,
    pair,
    words_of,
    write_sets,
)

from espnet_dsu.bin.cli import run
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table

RELEASE = Release(
    variable="LJSPEECH",
    url="https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
    gigabytes=2.7,
    sha256="be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
)
NUM_UTTERANCES = 13100
SPEAKER = "LJ"


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", default="", help="LJSpeech-1.1/, its parent or archive")
    add("--data_dir", default="data", help="where the sets go")
    add("--download_dir", default="downloads", help="where archives are unpacked to")
    add("--num_dev", type=int, default=250, help="utterances to validate on")
    add("--num_eval", type=int, default=250, help="utterances to test on")
    add("--partial", type=str2bool, default=False, help=PARTIAL_HELP)
    return parser


def find_root(corpus: Path) -> Path:
    """Return the folder that holds metadata.csv and wavs/.

    Raises:
        DSUError: there is none.
    """
    for root in (corpus, corpus / "LJSpeech-1.1"):
        if (root / "metadata.csv").is_file() and (root / "wavs").is_dir():
            return root
    raise DSUError(
        f"{corpus}: neither it nor its LJSpeech-1.1/ has metadata.csv and wavs/; "
        "correct LJSPEECH in db.sh"
    )


def read_texts(path: Path) -> Table:
    """Read metadata.csv: ``id|text|normalized text`` lines, no quoting.

    Raises:
        DSUError: a line has another form, or an id comes twice.
    """
    texts: Table = {}
    lines = path.read_text("utf-8").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        fields = line.split("|")
        if len(fields) != 3 or not all(fields):
            raise DSUError(
                f"{path}:{number}: {line!r}: expected `id|text|normalized text`"
            )
        if fields[0] in texts:
            raise DSUError(f"{path}:{number}: duplicate id {fields[0]!r}")
        texts[fields[0]] = words_of(fields[2])
    return texts


def read_corpus(root: Path, partial: bool) -> Tables:
    """Return the tables of the whole corpus."""
    texts = read_texts(root / "metadata.csv")
    audio = {path.stem: str(path) for path in (root / "wavs").glob("*.wav")}
    both = pair(root, audio, texts, tolerated=float(partial))
    expect_count(root, "utterances", len(both), None if partial else NUM_UTTERANCES)
    speakers = dict.fromkeys(both, SPEAKER)
    return choose({"wav.scp": audio, "text": texts, "utt2spk": speakers}, both)


def split(tables: Tables, num_dev: int, num_eval: int) -> dict[str, Tables]:
    """Return ESPnet's three sets.

    Raises:
        DSUError: there are too few utterances.
    """
    utterances = list(tables["wav.scp"])
    num_train = len(utterances) - num_dev - num_eval
    if min(num_train, num_dev, num_eval) < 1:
        raise DSUError(
            f"{len(utterances)} utterances cannot be split into {num_eval} to test "
            f"on, {num_dev} to validate on and some to train on; set --num_dev and "
            "--num_eval by --local_data_opts"
        )
    return {
        "tr_no_dev": choose(tables, utterances[:num_train]),
        "dev": choose(tables, utterances[num_train : num_train + num_dev]),
        "eval1": choose(tables, utterances[num_train + num_dev :]),
    }


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    root = find_root(find_corpus(args.corpus, RELEASE, Path(args.download_dir)))
    tables = read_corpus(root, args.partial)
    write_sets(args.data_dir, split(tables, args.num_dev, args.num_eval))


if __name__ == "__main__":
    run(main)
