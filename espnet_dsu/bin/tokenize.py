"""Tokenize a corpus: wav.scp in, units.scp out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import str2bool

from espnet_dsu.bin.cli import add_engine_options, pop_engine_options, run
from espnet_dsu.corpus.tokenizing import DTYPES, tokenize_corpus


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Tokenize every utterance of a wav.scp into units. When it was "
        "interrupted, the command goes on where it was.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--wav_scp", required=True, help="utterance ids and their audio files")
    add("--tokenizer", required=True, help="tokenizer bundle: folder or hub id")
    add("--output_dir", required=True, help="unit directory to write")
    add_engine_options(parser)
    add(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="of the upstream; half precision is for GPUs and changes some units",
    )
    add("--compile", type=str2bool, default=False, help="use torch.compile")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = vars(get_parser().parse_args(cmd))
    options = pop_engine_options(args)
    args["bundle"] = args.pop("tokenizer")
    tokenize_corpus(**args, options=options)


if __name__ == "__main__":
    run(main)
