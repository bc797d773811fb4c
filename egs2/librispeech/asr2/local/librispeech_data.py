#!/usr/bin/env python3
"""LibriSpeech (https://www.openslr.org/12) as data/<set>/{wav.scp,text,utt2spk}.

Sets: the training set, dev (dev-clean and dev-other together), dev_clean, dev_other,
test_clean and test_other. The corpus is the folder named by --corpus, or is downloaded.
With --lm_text the published text of language models goes to data/local/other_text/text.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

from archive_parts import find_parts
from espnet2.utils.types import str2bool
from librispeech_download import download_corpus, download_lm_text
from librispeech_parts import (
    EVALUATION_SETS,
    FOLDER,
    LM_TEXT,
    PARTS,
    TRAIN_SETS,
    VARIABLE,
)

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.datadir import begin_output, validate, write_tables
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table, read_scp
from espnet_dsu.units.files import atomic_path

Tables = dict[str, Table]


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", default="", help="LibriSpeech/ or its parent; empty: download")
    add("--train_set", required=True, choices=list(TRAIN_SETS), help="training set")
    add("--data_dir", default="data", help="where the sets go")
    add("--download_dir", default="downloads", help="where archives are downloaded to")
    add(
        "--mirror",
        default="https://www.openslr.org/resources",
        help="where archives are downloaded from: its 12/ has audio, its 11/ text",
    )
    add(
        "--lm_text",
        type=str2bool,
        default=False,
        help=f"also prepare {LM_TEXT}, which lies beside or in LibriSpeech/",
    )
    add(
        "--partial",
        type=str2bool,
        default=False,
        help="accept parts with fewer utterances than were published",
    )
    return parser


def read_transcripts(folder: Path) -> Table:
    """Read ``<reader>/<chapter>/<reader>-<chapter>.trans.txt`` of a part."""
    texts: Table = {}
    for path in sorted(folder.glob("*/*/*.trans.txt")):
        chapter = read_scp(path)
        prefix = path.name.removesuffix(".trans.txt") + "-"
        foreign = [utt for utt in chapter if not utt.startswith(prefix)]
        if foreign:
            raise DSUError(f"{path}: {foreign[0]!r} is of another chapter")
        texts |= chapter
    return texts


def read_part(folder: Path, expected: int | None) -> Tables:
    """Read a part: tables ``wav.scp``, ``text``, ``utt2spk`` (the reader).

    Args:
        folder: of the part.
        expected: number of utterances; None accepts any but 0.

    Raises:
        DSUError: audio without a transcript, or the reverse, or another number.
    """
    texts = read_transcripts(folder)
    audio = {path.stem: str(path) for path in folder.glob("*/*/*.flac")}
    bare = sorted(audio.keys() - texts)
    if bare:
        raise DSUError(
            f"{folder}: {len(bare)} utterances have no line in a .trans.txt "
            f"({', '.join(bare[:3])}); unpack {folder.name}.tar.gz again"
        )
    silent = sorted(texts.keys() - audio)
    if silent:
        raise DSUError(
            f"{folder}: {len(silent)} transcripts have no .flac "
            f"({', '.join(silent[:3])}); unpack {folder.name}.tar.gz again"
        )
    if not audio or expected not in (None, len(audio)):
        raise DSUError(
            f"{folder}: {len(audio)} utterances <reader>/<chapter>/*.flac, expected "
            f"{expected or 'some'}; unpack {folder.name}.tar.gz again, or accept what "
            "is there by --local_data_opts '--partial true'"
        )
    readers = {utt: utt.split("-")[0] for utt in audio}
    return {"wav.scp": audio, "text": texts, "utt2spk": readers}


def write_lm_text(source: Path, target: Path) -> None:
    """Write the sentences of ``source`` with an id each, as ESPnet's LM task reads.

    Raises:
        DSUError: it is missing or damaged.
    """
    if not source.exists():
        raise DSUError(
            f"{source}: not found; get it from https://www.openslr.org/11, or leave "
            "out --lm_text"
        )
    logging.info(f"{source}: writing {target}")
    try:
        with gzip.open(source, "rt", encoding="utf-8") as lines:
            with atomic_path(target) as path, path.open("w", encoding="utf-8") as out:
                for number, line in enumerate(lines):
                    out.write(f"librispeech_lng_{number:08d} {line.strip()}\n")
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise DSUError(f"{source}: {error}; download it again") from None


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    sets = {args.train_set: TRAIN_SETS[args.train_set], **EVALUATION_SETS}
    parts = list(dict.fromkeys(part for names in sets.values() for part in names))
    corpus = Path(args.corpus or args.download_dir)
    if not args.corpus:
        download_corpus(corpus, parts, args.mirror)
        if args.lm_text:
            download_lm_text(corpus, args.mirror)
    root = find_parts(corpus, FOLDER, parts, VARIABLE)
    # All is read before anything is written, so a bad corpus leaves nothing behind.
    read = {}
    for part in parts:
        expected = None if args.partial else PARTS[part].utterances
        read[part] = read_part(root / part, expected)
        logging.info(f"{root / part}: {len(read[part]['text'])} utterances")
    for name, members in sets.items():
        tables: Tables = {"wav.scp": {}, "text": {}, "utt2spk": {}}
        for part in members:
            for table, rows in read[part].items():
                tables[table] |= rows
        folder = Path(args.data_dir) / name
        begin_output(folder)
        write_tables(folder, tables)
        validate(folder)
    if args.lm_text:
        beside = [folder / LM_TEXT for folder in (corpus, root)]
        source = next((path for path in beside if path.exists()), beside[0])
        write_lm_text(source, Path(args.data_dir) / "local/other_text/text")


if __name__ == "__main__":
    run(main)
