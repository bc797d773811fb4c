#!/usr/bin/env python3
"""The measures of the challenge's ASR track (Chang et al., 2024) from metrics.json.

A table, a row for each decoding, which ``<asr_exp>/challenge.md`` gets too:

EN_LibriSpeech: character errors / characters of dev_clean, dev_other, test_clean and
    test_other together, in percent;
ML_SUPERB: character error rate of test_1h, in percent;
Bitrate: mean over the utterances of all five sets of tokens x log2(vocabulary) /
    seconds, where tokens are what the recogniser reads: unit pieces, or unit runs.

A measure whose sets were not all scored is ``-``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from espnet_dsu.bin.cli import run
from espnet_dsu.metrics.store import Entry, read_metrics
from espnet_dsu.units.files import atomic_path

LIBRISPEECH = ("dev_clean", "dev_other", "test_clean", "test_other")
ML_SUPERB = ("test_1h",)
SUFFIX = re.compile(r"(_rescored)?(_wav|_units)?$")  # what stage 15 adds to a set
HEAD = (
    "|decode|EN_LibriSpeech CER %|ML_SUPERB CER %|Bitrate bit/s|\n|---|---|---|---|\n"
)


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("asr_exp", type=Path, help="directory of the experiment")
    return parser


def group_by_decoding(metrics: Mapping[str, Entry]) -> dict[str, dict[str, Entry]]:
    """Return decoding -> set -> entry; what stage 15 adds to a set's name goes."""
    decodings: dict[str, dict[str, Entry]] = {}
    for key, entry in metrics.items():
        dset = SUFFIX.sub("", key.rpartition("/")[2])
        decodings.setdefault(entry["decode"], {})[dset] = entry
    return decodings


def error_rate(entries: Iterable[Entry]) -> float:
    """Return the character errors of several sets by their characters, in percent."""
    rows = [
        (e["cer_sub"] + e["cer_del"] + e["cer_ins"], e["num_chars"]) for e in entries
    ]
    errors, chars = map(sum, zip(*rows))
    return 100 * errors / chars


def bitrate(entries: Iterable[Entry]) -> float:
    """Return the mean bitrate of the utterances of several sets, in bits per second."""
    rows = [(e["num_utts"], e.get("bitrate_pieces", e["bitrate"])) for e in entries]
    return sum(n * rate for n, rate in rows) / sum(n for n, _ in rows)


def row(decode: str, sets: Mapping[str, Entry]) -> str:
    """Return a decoding's line of the table."""
    measures = (
        (error_rate, LIBRISPEECH, ()),
        (error_rate, ML_SUPERB, ()),
        (bitrate, LIBRISPEECH + ML_SUPERB, ("bitrate",)),
    )
    cells = [
        (
            f"{measure(sets[name] for name in names):.2f}"
            if all({"cer", *needed} <= sets.get(name, {}).keys() for name in names)
            else "-"
        )
        for measure, names, needed in measures
    ]
    return f"|{decode}|{'|'.join(cells)}|\n"


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    asr_exp = get_parser().parse_args(cmd).asr_exp
    decodings = group_by_decoding(read_metrics(asr_exp / "metrics.json"))
    table = HEAD + "".join(row(*item) for item in decodings.items())
    with atomic_path(asr_exp / "challenge.md") as temporary:
        temporary.write_text(table, "utf-8")
    print(f"{asr_exp}/challenge.md:\n{table}", end="")


if __name__ == "__main__":
    run(main)
