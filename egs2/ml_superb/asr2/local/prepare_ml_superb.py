#!/usr/bin/env python3
"""ML-SUPERB (Shi et al., 2023) as data/{train,dev,test}_{10min,1h}.

The corpus is ``<source>/<language>/{wav/<utterance>.wav,transcript_*.txt}``, a source
being mls, fleurs and so on. train_<duration> has up to 10 minutes or 1 hour of each
language and source, but five utterances of each of the 20 few-shot languages
(few_shot.txt). dev and test are the same for both durations. With --lid every text
begins with the language, ``[eng] SOME WORDS``; utt2lang tells it in any case.
"""

from __future__ import annotations

import argparse
import logging
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from espnet2.utils.types import str2bool

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.datadir import begin_output, validate, write_tables
from espnet_dsu.errors import DSUError
from espnet_dsu.scp import Table, read_lines, read_scp, write_scp
from espnet_dsu.units.files import atomic_path

FEW_SHOT = Path(__file__).resolve().with_name("few_shot.txt")
WHERE = "https://huggingface.co/datasets/ftshijt/mlsuperb_8th"
# Both as in the benchmark's own preparation, so that error rates can be compared.
BRACKETS = re.compile(r"\[[^()]*\]")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Utterance(NamedTuple):
    """A recording with its language and words."""

    name: str
    wav: Path
    language: str
    words: str


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--ml_superb", required=True, help="folder that holds <source>/<language>/")
    add("--duration", choices=("10min", "1h"), default="10min", help="of training data")
    add("--lid", type=str2bool, default=False, help="begin texts with the language")
    add("--data_dir", default="data", help="where the three sets go")
    add("--nlsyms_txt", help="file to write the languages' symbols to")
    return parser


def find_languages(root: Path) -> list[Path]:
    """Return the folders ``<source>/<language>`` below ``root``, sorted.

    Raises:
        DSUError: there is none.
    """
    found = sorted(wav.parent for wav in root.glob("*/*/wav"))
    if not found:
        raise DSUError(
            f"MLSUPERB={root}: no folder <source>/<language>/wav, such as mls/eng/wav; "
            f"name the unpacked corpus in db.sh (it is at {WHERE})"
        )
    return found


def normalize(text: str) -> str:
    """Return a text in upper case without [remarks] and ASCII punctuation."""
    text = BRACKETS.sub("", text).translate(NO_PUNCTUATION).upper()
    return " ".join(text.split())


def read_transcript(folder: Path, part: str) -> Iterator[Utterance]:
    """Yield the utterances of a language's ``transcript_<part>.txt``.

    Raises:
        DSUError: the file is missing, or a line is not ``utterance duration text``.
    """
    path = folder / f"transcript_{part}.txt"
    if not path.is_file():
        raise DSUError(f"{path}: not found; unpack the corpus again")
    for number, name, rest in read_lines(path):
        _, _, text = rest.replace("\t", " ").partition(" ")
        if not name or not rest:
            raise DSUError(f"{path}:{number}: expected `utterance duration text`")
        wav = folder / "wav" / f"{name}.wav"
        yield Utterance(name, wav, folder.name, normalize(text))


def choose_training(utterances: Iterable[Utterance]) -> Iterator[Utterance]:
    """Yield what is trained on: of few-shot languages the chosen utterances only."""
    chosen = {lang: set(names.split()) for lang, names in read_scp(FEW_SHOT).items()}
    for utterance in utterances:
        names = chosen.get(utterance.language)
        if names is None or utterance.name in names:
            yield utterance


def make_tables(name: str, utterances: list[Utterance], lid: bool) -> dict[str, Table]:
    """Return the tables of a set, ``utt2lang`` included.

    Raises:
        DSUError: no utterance, or two of one name.
    """
    names = sorted(utterance.name for utterance in utterances)
    twice = sorted({a for a, b in zip(names, names[1:]) if a == b})
    if twice:
        raise DSUError(f"{name}: {len(twice)} names occur twice: {twice[:3]}")
    if not names:
        raise DSUError(f"{name}: no utterance; is the corpus unpacked whole?")
    return {
        "utt2lang": {u.name: u.language for u in sorted(utterances)},
        "text": {u.name: f"[{u.language}] " * lid + u.words for u in utterances},
        "wav.scp": {u.name: str(u.wav) for u in utterances},
        "utt2spk": {u.name: u.name for u in utterances},
    }


def write_set(directory: Path, tables: dict[str, Table]) -> None:
    """Write a data directory with ``utt2lang``."""
    utt2lang = tables.pop("utt2lang")
    begin_output(directory)
    write_scp(directory / "utt2lang", utt2lang)
    write_tables(directory, tables)
    validate(directory)
    languages = len(set(utt2lang.values()))
    logging.info(f"{directory}: {len(utt2lang)} utterances of {languages} languages")


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    if not args.ml_superb:
        raise DSUError(
            f"MLSUPERB is not set in db.sh; get the corpus at {WHERE} (about 30 GB), "
            "unpack it and name its folder"
        )
    folders = find_languages(Path(args.ml_superb))
    languages = sorted({folder.name for folder in folders})
    sources = {folder.parent.name for folder in folders}
    logging.info(f"{len(languages)} languages from {len(sources)} sources")
    # All is read before anything is written, so a bad corpus leaves nothing behind.
    read = {
        part: [u for folder in folders for u in read_transcript(folder, part)]
        for part in (f"{args.duration}_train", "10min_dev", "10min_test")
    }
    train, dev, test = read.values()
    sets = {"train": list(choose_training(train)), "dev": dev, "test": test}
    tables = {name: make_tables(name, rows, args.lid) for name, rows in sets.items()}
    for name in tables:
        write_set(Path(args.data_dir) / f"{name}_{args.duration}", tables[name])
    if args.nlsyms_txt:
        symbols = [f"[{language}]\n" for language in languages] if args.lid else []
        with atomic_path(args.nlsyms_txt) as temporary:
            temporary.write_text("".join(symbols), "utf-8")


if __name__ == "__main__":
    run(main)
