"""Format a data directory: one mono 16-bit file per utterance, at one rate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import humanfriendly_parse_size_or_none, int_or_none, str2bool

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.excerpts import AudioFormat
from espnet_dsu.corpus.formatting import format_data


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data_dir", required=True, help="directory with wav.scp, text, segments ...")
    add("--output_dir", required=True, help="data directory to write")
    rate = humanfriendly_parse_size_or_none
    add("--fs", type=rate, default="16k", help="Hz (16000, 16k); none: as it is")
    add("--audio_format", choices=("flac", "wav"), default="flac", help="file format")
    add("--nj", type=int, default=1, help="number of processes")
    add(
        "--ref_channels",
        type=int_or_none,
        help="channel to take, from 0; none: a file with several channels fails",
    )
    add(
        "--copy",
        type=str2bool,
        default=False,
        help="write also the audio that is mono wav or flac at --fs already, "
        "which is otherwise used where it is",
    )
    add("--strict", type=str2bool, default=False, help="stop at the first failure")
    add(
        "--max_failures",
        type=int_or_none,
        help="stop when more utterances fail; none: never, as long as one succeeds",
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    target = AudioFormat(args.fs, args.audio_format, args.ref_channels, args.copy)
    max_failures = 0 if args.strict else args.max_failures
    format_data(args.data_dir, args.output_dir, target, args.nj, max_failures)


if __name__ == "__main__":
    run(main)
