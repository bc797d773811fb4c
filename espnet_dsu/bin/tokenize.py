"""Tokenize a corpus: wav.scp in, units.scp out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet2.utils.types import str2bool

from espnet_dsu.bin.cli import run
from espnet_dsu.corpus.engine import Options, tokenize_corpus


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
    default = Options()
    add("--nj", type=int, default=default.nj, help="number of worker processes")
    add("--ngpu", type=int, default=default.ngpu, help="number of GPUs; 0 is CPU")
    add(
        "--batch_sec",
        type=float,
        default=default.batch_sec,
        help="seconds of audio per batch, padding included; bounds the memory",
    )
    add(
        "--shard_sec",
        type=float,
        default=default.shard_sec,
        help="seconds of audio per shard; finished shards survive an interruption",
    )
    add(
        "--strict",
        type=str2bool,
        default=default.strict,
        help="stop at the first utterance that fails",
    )
    add("--max_failures", type=int, help="stop when more utterances than this fail")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = vars(get_parser().parse_args(cmd))
    paths = (args.pop("wav_scp"), args.pop("tokenizer"), args.pop("output_dir"))
    tokenize_corpus(*paths, Options(**args))


if __name__ == "__main__":
    run(main)
