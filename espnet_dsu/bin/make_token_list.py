"""Make the token list of the text, as ESPnet's recipes do in their token stage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.token_list import make_token_list


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Make <output_dir>/tokens.txt (and bpe.model) from a Kaldi-style "
        "text.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--text", required=True, nargs="+", help="text files of the training set")
    add("--output_dir", required=True, help="folder for tokens.txt and bpe.model")
    add(
        "--token_type",
        default="bpe",
        choices=["bpe", "char", "word"],
        help="what a token is",
    )
    add("--nbpe", type=int, default=30, help="number of subwords (bpe)")
    add("--bpemode", default="unigram", choices=["unigram", "bpe"], help="kind of bpe")
    add("--nlsyms_txt", help="file of symbols that stay whole, one a line")
    add("--cleaner", help="ESPnet's text cleaner, e.g. whisper_en or tacotron")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    make_token_list(**vars(get_parser().parse_args(cmd)))


if __name__ == "__main__":
    run(main)
