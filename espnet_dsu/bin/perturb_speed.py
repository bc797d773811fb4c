"""Write a data directory with every utterance at several speeds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import int_or_none, str2bool

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.excerpts import AudioFormat
from espnet_dsu.corpus.speed import perturb_speed
from espnet_dsu.errors import DSUError


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--data_dir", required=True, help="data directory to read")
    add("--output_dir", required=True, help="data directory to write")
    add("--factors", default="0.9 1.0 1.1", help="speeds, separated by spaces")
    add("--audio_format", choices=("flac", "wav"), default="flac", help="file format")
    add("--nj", type=int, default=1, help="number of processes")
    add(
        "--ref_channels",
        type=int_or_none,
        help="channel to take, from 0; none: a file with several channels fails",
    )
    add("--strict", type=str2bool, default=False, help="stop at the first failure")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    args = get_parser().parse_args(cmd)
    try:
        factors = [float(factor) for factor in args.factors.split()]
    except ValueError:
        raise DSUError(
            f"--factors {args.factors!r}: expected numbers, such as '0.9 1.0 1.1'"
        ) from None
    perturb_speed(
        args.data_dir,
        args.output_dir,
        factors,
        target=AudioFormat(None, args.audio_format, args.ref_channels),
        nj=args.nj,
        max_failures=0 if args.strict else None,
    )


if __name__ == "__main__":
    run(main)
