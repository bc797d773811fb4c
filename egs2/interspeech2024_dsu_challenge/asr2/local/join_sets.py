#!/usr/bin/env python3
"""The challenge's sets from those of the two corpora: data/<set>.

train and dev hold both corpora, with ids that begin with the corpus, since both have
utterances of all kinds of names; the evaluation sets are those of the corpora.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.datadir import (
    begin_output,
    read_tables,
    validate,
    write_tables,
)
from espnet_dsu.scp import Table

JOINED = {
    "train": {"librispeech": "train_clean_100", "ml_superb": "train_1h"},
    "dev": {"librispeech": "dev", "ml_superb": "dev_1h"},
}
EVALUATION = {
    "dev_clean": "librispeech",
    "dev_other": "librispeech",
    "test_clean": "librispeech",
    "test_other": "librispeech",
    "test_1h": "ml_superb",
}


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--data_dir", default="data", help="has librispeech/ and ml_superb/; gets sets"
    )
    return parser


def join(parts: dict[str, Path]) -> dict[str, Table]:
    """Return the tables of several sets as one; ids and speakers get a prefix."""
    joined: dict[str, Table] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    for prefix, directory in parts.items():
        tables = read_tables(directory)
        speakers = tables["utt2spk"]
        tables["utt2spk"] = {utt: f"{prefix}-{speakers[utt]}" for utt in speakers}
        for name, table in joined.items():
            table |= {f"{prefix}-{utt}": value for utt, value in tables[name].items()}
    return joined


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    data_dir = Path(get_parser().parse_args(cmd).data_dir)
    sets = {
        name: join({corpus: data_dir / corpus / part for corpus, part in parts.items()})
        for name, parts in JOINED.items()
    }
    for name, corpus in EVALUATION.items():
        sets[name] = read_tables(data_dir / corpus / name)
    for name, tables in sets.items():
        begin_output(data_dir / name)
        write_tables(data_dir / name, tables)
        validate(data_dir / name)
        logging.info(f"{data_dir / name}: {len(tables['text'])} utterances")


if __name__ == "__main__":
    run(main)
