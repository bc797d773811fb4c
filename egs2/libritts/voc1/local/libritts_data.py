#!/usr/bin/env python3
"""LibriTTS (https://www.openslr.org/60) as data directories.

Sets, as in ESPnet's recipe: train-clean-460 (train-clean-100 and -360 together),
dev-clean and test-clean, whose readers differ. Text: the words of the normalized one,
in upper case. The corpus is the folder named by --corpus, or is downloaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from archive_parts import Part, download_parts, find_parts
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

FOLDER = "LibriTTS"  # of the corpus, in its archives
VARIABLE = "LIBRITTS"  # of db.sh
TEXT_ENDING = ".normalized.txt"


PARTS = {
    "train-clean-100": Part(
        33236, 7.7, "c5608bf1ef74bb621935382b8399c5cdd51cd3ee47cec51f00f885a64c6c7f6b"
    ),
    "train-clean-360": Part(
        116500, 27, "ce7cff44dcac46009d18379f37ef36551123a1dc4e5c8e4eb73ae57260de4886"
    ),
    "dev-clean": Part(
        5736, 1.2, "da0864e1bd26debed35da8a869dd5c04dfc27682921936de7cff9c8a254dbe1a"
    ),
    "test-clean": Part(
        4837, 1.2, "234ea5b25859102a87024a4b9b86641f5b5aaaf1197335c95090cde04fe9a4f5"
    ),
}
SETS = {
    "train-clean-460": ("train-clean-100", "train-clean-360"),
    "dev-clean": ("dev-clean",),
    "test-clean": ("test-clean",),
}


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", default="", help="LibriTTS/ or its parent; empty: download")
    add("--data_dir", default="data", help="where the sets go")
    add("--download_dir", default="downloads", help="where archives are downloaded to")
    add(
        "--mirror",
        default="https://www.openslr.org/resources/60",
        help="where archives are downloaded from",
    )
    add("--partial", type=str2bool, default=False, help=PARTIAL_HELP)
    return parser


def read_part(folder: Path, partial: bool) -> Tables:
    """Read ``<reader>/<chapter>/<id>{.wav,.normalized.txt}`` of a part.

    The speaker is the reader; in ESPnet's recipe it is the chapter.

    Raises:
        DSUError: audio without text, or the reverse, or another number.
    """
    audio = {path.stem: str(path) for path in folder.glob("*/*/*.wav")}
    texts: Table = {}
    for path in folder.glob(f"*/*/*{TEXT_ENDING}"):
        try:
            words = words_of(path.read_text("utf-8"))
        except UnicodeDecodeError:
            raise DSUError(f"{path}: not UTF-8; unpack the corpus again") from None
        texts[path.name.removesuffix(TEXT_ENDING)] = words
    both = pair(folder, audio, texts, tolerated=float(partial))
    expected = None if partial else PARTS[folder.name].utterances
    expect_count(folder, "utterances", len(both), expected)
    readers = {utt: utt.split("_")[0] for utt in both}
    return choose({"wav.scp": audio, "text": texts, "utt2spk": readers}, both)


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    corpus = Path(args.corpus or args.download_dir)
    if not args.corpus:
        download_parts(corpus, FOLDER, PARTS, args.mirror, VARIABLE, "libritts_")
    root = find_parts(corpus, FOLDER, PARTS, VARIABLE)
    # All is read before anything is written, so a bad corpus leaves nothing behind.
    read = {part: read_part(root / part, args.partial) for part in PARTS}
    sets = {}
    for name, members in SETS.items():
        tables: Tables = {"wav.scp": {}, "text": {}, "utt2spk": {}}
        for part in members:
            for table, rows in read[part].items():
                tables[table] |= rows
        sets[name] = tables
    write_sets(args.data_dir, sets)


if __name__ == "__main__":
    run(main)
