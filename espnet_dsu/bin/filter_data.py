"""Drop utterances that are too short, too long, or without words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import humanfriendly_parse_size_or_none

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.filtering import filter_data


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data_dir", required=True, help="formatted data directory")
    add("--output_dir", required=True, help="data directory to write")
    add(
        "--fs",
        type=humanfriendly_parse_size_or_none,
        default="16k",
        help="sample rate of the formatted audio in Hz (16000 or 16k)",
    )
    add("--min_wav_duration", type=float, default=0.1, help="in seconds, included")
    add("--max_wav_duration", type=float, default=20.0, help="in seconds, included")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    filter_data(
        args.data_dir,
        args.output_dir,
        args.fs,
        args.min_wav_duration,
        args.max_wav_duration,
    )


if __name__ == "__main__":
    run(main)
