"""Extract speaker embeddings of every utterance, and their mean for each speaker."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--wav_scp", required=True, help="utterance ids and their audio files")
    add("--utt2spk", required=True, help="speaker of each utterance")
    add("--output_dir", required=True, help="gets spembs.scp and spk_spembs.scp")
    add(
        "--speaker_model",
        dest="model",
        default="mfcc_statistics",
        help="espnet:<folder or tag>, hf:<folder or name>, or mfcc_statistics",
    )
    add("--nj", type=int, default=1, help="number of processes")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    # Seconds of imports, which --help does not need.
    from espnet_dsu.speaker_embeddings import extract_speaker_embeddings

    extract_speaker_embeddings(**vars(args))


if __name__ == "__main__":
    run(main)
