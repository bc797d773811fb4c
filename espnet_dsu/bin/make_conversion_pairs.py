"""Draw for each utterance of a set who shall speak it, or whose prosody it gets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.inference.conversion_pairs import MODES, write_pairs


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--utt2spk", required=True, help="utterances and their speakers")
    add("--text", help="their words; a reference of prosody has the same")
    add("--spk2sid", required=True, help="speakers of the vocoder and their ids")
    add("--output_dir", required=True, help="gets utt2sid, utt2spk and utt2ref")
    add("--mode", choices=MODES, default="speaker", help="what the target gives")
    add("--seed", type=int, default=0, help="of the draw")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    write_pairs(**vars(get_parser().parse_args(cmd)))


if __name__ == "__main__":
    run(main)
