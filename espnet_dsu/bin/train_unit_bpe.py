"""Train unit pieces and write the bundle that has them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet_dsu.bin.cli import run
from espnet_dsu.tokenizer import UnitTokenizer
from espnet_dsu.units.files import UnitReader
from espnet_dsu.units.pieces import UnitPieces
from espnet_dsu.units.sequence import collapse_units


def get_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(
        description="Train subword pieces over unit runs; write a bundle with the same "
        "units (same fingerprint) and these pieces.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--units_scp", required=True, help="units.scp of the training set")
    add("--tokenizer", required=True, help="bundle that made the units")
    add("--nbpe", type=int, default=3000, help="number of pieces, units included")
    add(
        "--bpemode",
        default="unigram",
        choices=["unigram", "bpe"],
        help="kind of pieces",
    )
    add("--output_dir", required=True, help="bundle to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    tokenizer = UnitTokenizer.from_pretrained(args.tokenizer)
    units = UnitReader(args.units_scp)
    tokenizer.spec.require_same(units.spec, args.units_scp)
    tokenizer.spec.require_one_stream("unit pieces")
    runs = (collapse_units(frame_units)[0] for frame_units in units.values())
    vocab_size = tokenizer.spec.vocab_size
    pieces = UnitPieces.train(runs, vocab_size, args.nbpe, args.bpemode)
    tokenizer.with_pieces(pieces).save_pretrained(args.output_dir)
    logging.info(f"{len(pieces)} pieces of {vocab_size} units: {args.output_dir}")


if __name__ == "__main__":
    run(main)
