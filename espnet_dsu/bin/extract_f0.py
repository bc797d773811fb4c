"""Extract F0 (Hz, 0 where unvoiced) of every utterance at the clock of its units."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.f0 import F0_MAX, F0_METHODS, F0_MIN, extract_f0_corpus


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--wav_scp", required=True, help="utterance ids and their audio files")
    add(
        "--units_scp",
        required=True,
        help="units.scp of a unit directory: one F0 value for each of its frames",
    )
    add("--output_dir", required=True, help="gets f0.ark and f0.scp")
    add("--nj", type=int, default=1, help="number of processes")
    add(
        "--method",
        choices=F0_METHODS,
        default="pyworld",
        help="pyworld: DIO and StoneMask; librosa: pYIN, a hundred times slower",
    )
    add("--f0_min", type=float, default=F0_MIN, help="lowest F0 in Hz")
    add("--f0_max", type=float, default=F0_MAX, help="highest F0 in Hz")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    extract_f0_corpus(**vars(get_parser().parse_args(cmd)))


if __name__ == "__main__":
    run(main)
